"""A worker is killed before each of its system calls: the request fails, the next one works."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

_OLD = b"old " * 1000
_NEW = b"new " * 1000

_DIES = """
import os, sys
bomb = {bomb!r}
calls = ("open read readv preadv pwrite write writev stat lstat fstat listdir scandir mkdir "
         "unlink rmdir rename replace link symlink readlink ftruncate fchmod fchown fsync "
         "copy_file_range sendfile close access chmod utime listxattr getxattr setxattr").split()

def counting(function):
    def call(*args, **kwargs):
        if left[0] is not None and not (function is real_read and args[0] == 0):
            left[0] -= 1
            if left[0] < 0:
                real_unlink(bomb)  # it goes off once
                os.kill(os.getpid(), 9)
        return function(*args, **kwargs)
    return call

left = [None]
real_read, real_unlink = os.read, os.unlink
import fs_helper.main as m
from fs_helper.handles import Handles
Handles.take_opened = lambda self: None  # the server has to ask
for name in calls:
    if hasattr(os, name):
        setattr(os, name, counting(getattr(os, name)))

class Worker(m._Worker):
    def _answer(self, request_id, request, bulk):
        try:
            with open(bomb) as file:
                left[0] = int(file.read())
        except OSError:
            left[0] = None
        super()._answer(request_id, request, bulk)
        left[0] = None
m._Worker = Worker
sys.exit(m.main())
"""


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bomb") / "calls-left"


@pytest.fixture(scope="module")
def deadly(bomb: Path) -> Iterator[ServerProcess]:
    import sys

    helper = bomb.parent / "helper"
    helper.write_text(f"#!{sys.executable}\n{_DIES.format(bomb=os.fspath(bomb))}")
    helper.chmod(0o755)
    with ServerProcess("--fs-helper", os.fspath(helper)) as process:
        yield process


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _prepare(folder: Path) -> None:
    (folder / "tree" / "sub").mkdir(parents=True)
    (folder / "tree" / "sub" / "f").write_bytes(_OLD)
    (folder / "f").write_bytes(_OLD)
    (folder / "link").symlink_to("f")


_OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "readFile": ("fs/readFile", {"path": "f"}),
    "readFile no-follow": ("fs/readFile", {"path": "f", "followSymlinks": False}),
    "writeFile": ("fs/writeFile", {"path": "f", "dataBase64": _b64(_NEW)}),
    "writeFile atomic": ("fs/writeFile", {"path": "f", "dataBase64": _b64(_NEW), "atomic": True}),
    "getMetadata": ("fs/getMetadata", {"path": "link"}),
    "canonicalize": ("fs/canonicalize", {"path": "link"}),
    "createDirectory": ("fs/createDirectory", {"path": "a/b/c"}),
    "readDirectory": ("fs/readDirectory", {"path": "tree"}),
    "walk": (
        "fs/walk",
        {
            "path": ".",
            "options": {
                "maxDepth": 9,
                "maxDirectories": 99,
                "maxEntries": 99,
                "followDirectorySymlinks": True,
            },
        },
    ),
    "remove": ("fs/remove", {"path": "tree"}),
    "copy": ("fs/copy", {"sourcePath": "tree", "destinationPath": "copy", "recursive": True}),
    "move": ("fs/move", {"sourcePath": "f", "destinationPath": "moved"}),
    "open": ("fs/open", {"handleId": "h", "path": "f"}),
    "open replace": ("fs/open", {"handleId": "h", "path": "f", "mode": "replace"}),
}


@pytest.mark.parametrize("name", list(_OPERATIONS))
async def test_a_kill_anywhere_costs_one_request(
    deadly: ServerProcess, bomb: Path, tmp_path: Path, name: str
) -> None:
    method, members = _OPERATIONS[name]
    client = await WireClient.ready(deadly.url)
    for survived in range(200):
        folder = tmp_path / str(survived)
        _prepare(folder)
        params = {
            key: (folder / value).as_uri() if key.lower().endswith("path") else value
            for key, value in members.items()
        }
        bomb.write_text(str(survived))
        request = await client.request(method, params)
        code = await client.outcome(request)
        assert code in (0, -32603)
        done = code == 0
        bomb.unlink(missing_ok=True)
        meta = await client.call("fs/getMetadata", {"path": folder.as_uri()})
        assert meta["isDirectory"]
        _check_disk(name, folder, done=done)
        if done:
            break
    assert done
    assert survived > 0, "it was never killed"
    await client.close()


def _check_disk(name: str, folder: Path, *, done: bool) -> None:
    """What is on the disk is whole where that is promised."""
    if name == "writeFile atomic":
        assert (folder / "f").read_bytes() in ((_NEW,) if done else (_OLD, _NEW))
    elif name == "move":
        assert [
            path.read_bytes() for path in (folder / "f", folder / "moved") if path.exists()
        ] == [_OLD]
    elif name not in ("writeFile", "open replace"):
        assert (folder / "f").read_bytes() == _OLD


async def test_blocks_of_a_file_whose_worker_was_killed_say_that_it_is_lost(
    deadly: ServerProcess, bomb: Path, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(_OLD)
    client = await WireClient.ready(deadly.url)
    opening = {"handleId": "h", "path": (tmp_path / "f").as_uri()}
    block = {"handleId": "h", "offset": 0, "len": 4}
    await client.call("fs/open", opening)
    bomb.write_text("0")
    with pytest.raises(WireError, match="-32603: the file helper ended"):
        await client.call("fs/readBlock", block)
    with pytest.raises(WireError, match=r"-32004: .*lost"):
        await client.call("fs/readBlock", block)
    # The id is taken until it is closed, as that of any open file is.
    assert await client.refused("fs/open", opening) == -32600
    await client.call("fs/close", {"handleId": "h"})
    await client.call("fs/open", opening)
    assert (await client.call("fs/readBlock", block))["chunk"] == _b64(_OLD[:4])
    await client.close()


async def test_requests_sent_ahead_of_a_kill_are_carried_out_all_the_same(
    deadly: ServerProcess, bomb: Path, tmp_path: Path
) -> None:
    client = await WireClient.ready(deadly.url)
    uri = tmp_path.as_uri()
    await client.call("fs/getMetadata", {"path": uri})
    bomb.write_text("0")
    killed = await client.request("fs/createDirectory", {"path": f"{uri}/a"})
    ahead = [
        await client.request("fs/createDirectory", {"path": f"{uri}/d{number}"})
        for number in range(30)
    ]
    assert await client.outcome(killed) == -32603
    assert [await client.outcome(request) for request in ahead] == [0] * 30
    assert len(list(tmp_path.glob("d*"))) == 30
    await client.close()
