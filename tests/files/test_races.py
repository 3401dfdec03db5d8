"""Somebody turns a path round while it is used, thousands of times: nothing gets out."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.sandboxes import path, restricted_read, workspace_write
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireError

from .speaking import Files, b64, files_of, of_b64

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("needs_sandbox"),
]

_TRIES = 1250
"""Requests of each of the eight tests, unless they take longer than _SECONDS: 10,000 in all."""
_SECONDS = 15.0

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


@pytest.fixture
def site(tmp_path: Path) -> Path:
    base = Path(os.path.realpath(tmp_path))
    for name in (".git", ".agents", ".codex", ".aws", "dir"):
        (base / "ws" / name).mkdir(parents=True)
    (base / "ws/dir/f").write_bytes(b"inside")
    (base / "ws/file").write_bytes(b"inside")
    (base / "out").mkdir()
    (base / "out/f").write_bytes(b"secret")
    (base / "ws/to-out").symlink_to(base / "out")
    (base / "ws/to-f").symlink_to(base / "out/f")
    return base


@contextmanager
def _swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names without a pause, in a thread: ctypes lets others run meanwhile."""
    libc = ctypes.CDLL(None)
    stop = threading.Event()
    swapped = 0

    def swap() -> None:
        nonlocal swapped
        a, b = os.fsencode(one), os.fsencode(other)
        while not stop.is_set():
            assert libc.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _RENAME_EXCHANGE) == 0
            swapped += 1
            time.sleep(0)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert swapped > 100


def _policies(site: Path) -> list[dict[str, Any]]:
    ws = site / "ws"
    return [restricted_read(ws), workspace_write(ws, path(site / "out", "deny"))]


def _requests(site: Path, swapped: Path, follow: bool | None) -> list[tuple[str, dict[str, Any]]]:
    how = {} if follow is None else {"followSymlinks": follow}
    target = swapped / "f" if swapped.name == "dir" else swapped
    written = {"path": target, "dataBase64": b64(b"inside"), **how}
    copied = site / "ws/copied"
    return [
        ("readFile", {"path": target, **how}),
        ("writeFile", written),
        ("writeFile", {**written, "atomic": True}),
        ("createDirectory", {"path": swapped / "made", "recursive": False, **how}),
        ("remove", {"path": swapped / "made", "recursive": False, **how}),
        ("copy", {"sourcePath": target, "destinationPath": copied, "recursive": False}),
        ("readFile", {"path": copied}),
        ("getMetadata", {"path": target, **how}),
    ]


async def _race(files: Files, requests: list[tuple[str, dict[str, Any]]]) -> tuple[int, int]:
    """Ask until it was often enough. Returns how often, and how often a file was read."""
    asked = read = 0
    deadline = time.monotonic() + _SECONDS
    while asked < _TRIES and time.monotonic() < deadline:
        sent = [(op, await files.send(op, **members)) for op, members in requests]
        for op, request in sent:
            try:
                answer = await files.client.answer(request)
            except WireError:
                continue
            if op == "readFile":
                assert of_b64(answer["dataBase64"]) in (b"inside", b""), "a secret got out"
                read += 1
        asked += len(sent)
    return asked, read


@pytest.mark.parametrize("policy", [0, 1])
@pytest.mark.parametrize("follow", [None, False])
@pytest.mark.parametrize(("name", "link"), [("dir", "to-out"), ("file", "to-f")])
async def test_a_link_that_takes_the_place_of_a_path_leads_nowhere(
    server: ServerProcess, site: Path, policy: int, follow: bool | None, name: str, link: str
) -> None:
    swapped = site / "ws" / name
    async with files_of(server, _policies(site)[policy]) as files:
        with _swapping(swapped, site / "ws" / link):
            asked, read = await _race(files, _requests(site, swapped, follow))
    assert asked >= 100
    assert read, "the file was never there when it was asked for"
    assert os.listdir(site / "out") == ["f"]
    assert (site / "out/f").read_bytes() == b"secret"
