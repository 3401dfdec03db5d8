"""What a process writes arrives: all of it, in order, on the stream that it was written to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from exec_client import connect
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

SIZE_BYTES = 20 * 1000 * 1000
TIMES = 100


@pytest.mark.timeout(300)  # 4 GB go through; a loaded machine takes its time
async def test_two_full_streams_at_once_arrive_whole_a_hundred_times(
    server: ServerProcess, tmp_path: Path
) -> None:
    expected = []
    for name in ("out", "err"):
        data = os.urandom(SIZE_BYTES)
        (tmp_path / name).write_bytes(data)
        expected.append(hashlib.sha256(data).hexdigest())
    async with connect(server.url) as client:
        for _ in range(TIMES):
            done = await client.run(["sh", "-c", "cat out & cat err >&2; wait"], cwd=tmp_path)
            found = [hashlib.sha256(part).hexdigest() for part in (done.stdout, done.stderr)]
            assert found == expected
            assert done.returncode == 0
