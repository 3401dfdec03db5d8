"""Memory that is read into is shared by what runs in one thread, and by nothing else."""

from __future__ import annotations

import threading

from exec_server.process.scratch import SCRATCH_BYTES, scratch


def test_each_thread_has_its_own_memory() -> None:
    mine = scratch()
    assert scratch() is mine
    assert len(mine) == SCRATCH_BYTES
    others: list[memoryview] = []
    thread = threading.Thread(target=lambda: others.append(scratch()))
    thread.start()
    thread.join()
    mine[0], others[0][0] = 1, 2
    assert (mine[0], others[0][0]) == (1, 2)
