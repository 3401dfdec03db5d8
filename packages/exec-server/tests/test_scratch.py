"""Memory that is read into is shared by what runs in one thread, and by nothing else."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading

import pytest
from exec_server.runtime.scratch import SCRATCH_BYTES, scratch
from exec_server_protocol.helper import DATA_BYTES, HEADER_BYTES


def test_each_thread_has_its_own_memory() -> None:
    mine = scratch()
    assert scratch() is mine
    assert len(mine) == SCRATCH_BYTES >= HEADER_BYTES + DATA_BYTES
    others: list[memoryview] = []
    thread = threading.Thread(target=lambda: others.append(scratch()))
    thread.start()
    thread.join()
    mine[0], others[0][0] = 1, 2
    assert (mine[0], others[0][0]) == (1, 2)


_TOUCH = """
import resource
from exec_server.runtime.scratch import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        pieces = [b"x" * 350_000 for _ in range(4)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a property of glibc")
@pytest.mark.parametrize(("call", "kept"), [("keep_freed_memory()", True), ("", False)])
def test_memory_that_was_freed_is_used_again(call: str, kept: bool) -> None:
    run = [sys.executable, "-c", _TOUCH.format(call=call)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=20)
    pages = 50 * 4 * 350_000 // 4096
    assert (int(done.stdout) < pages // 10) is kept
