"""The file requests of one connection: they keep their order, and none waits for ever."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exec_server import ServerConfig, serve
from exec_server.config import FileLimits
from exec_testkit.wire import WireClient

pytestmark = pytest.mark.process

_HELPER = """
import os, signal, sys
from exec_server_protocol.helper import *

def write(data):
    while data:
        data = data[os.write(1, data):]

write(encode_ready("0"))
decoder = FrameDecoder(FROM_SERVER)
with open(sys.argv[1], "a") as log:
    while data := os.read(0, 65536):
        for frame in decoder.feed(data):
            request = decode_request(frame.payload)
            print(request.op, request.params.get("path"), file=log, flush=True)
            if request.op == "fs/remove":
                signal.pause()
            result = b'{"handleId":"1"}' if request.op == "fs/open" else b"{}"
            write(encode_frame(FrameKind.RESULT, frame.request_id, result))
"""
"""Writes down what it is asked, and says that it is done; at ``fs/remove`` it stops."""


@asynccontextmanager
async def _client(folder: Path, limits: FileLimits) -> AsyncIterator[WireClient]:
    """Connect to a server whose helper writes to ``log`` in a folder."""
    (folder / "helper.py").write_text(_HELPER)
    # As a shell script: a helper in Python would have to bring the package fs_helper.
    helper = folder / "helper"
    helper.write_text(f"#!/bin/sh\nexec {sys.executable} {folder}/helper.py {folder}/log\n")
    helper.chmod(0o755)
    async with serve(ServerConfig(fs_helper=str(helper), files=limits)) as server:
        client = await WireClient.ready(server.url)
        yield client
        await client.close()


async def test_requests_that_wait_for_a_worker_keep_their_order(tmp_path: Path) -> None:
    paths = [f"file:///{number}" for number in range(50)]
    async with _client(tmp_path, FileLimits()) as client:
        requests = [await client.request("fs/createDirectory", {"path": path}) for path in paths]
        assert [await client.answer(request) for request in requests] == [{}] * len(paths)
    asked = (tmp_path / "log").read_text().splitlines()
    assert asked == [f"fs/createDirectory {path}" for path in paths]


async def test_no_more_files_are_open_than_there_may_be(tmp_path: Path) -> None:
    async with _client(tmp_path, FileLimits(handles_per_connection=2)) as client:
        for name in "ab":
            await client.call("fs/open", {"handleId": name, "path": "file:///f"})
        assert await client.refused("fs/open", {"handleId": "c", "path": "file:///f"}) == -32600
        await client.call("fs/close", {"handleId": "a"})
        await client.call("fs/open", {"handleId": "c", "path": "file:///f"})


async def test_a_worker_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async with _client(tmp_path, FileLimits(quiet_seconds=0.1)) as client:
        lost = await client.request("fs/remove", {"path": "file:///f"})
        behind = await client.request("fs/createDirectory", {"path": "file:///f"})
        assert await client.outcome(lost) == -32603
        assert await client.answer(behind) == {}  # by another one
