"""A worker that was launched for one state of the disk never serves another."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.liveness import descendants
from exec_testkit.sandboxes import context, deny_glob, path, place, restricted_read, workspace_write
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireError

from .speaking import DENIED, Files, files_of

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("needs_sandbox")]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    base = Path(os.path.realpath(tmp_path))
    (base / "out").mkdir()
    (base / "out/secret").write_bytes(b"secret")
    _make_workspace(base / "ws")
    return base


def _make_workspace(ws: Path) -> None:
    # With these there the sandbox needs no marks, so that its worker stays.
    for name in (".git", ".agents", ".codex", ".aws"):
        (ws / name).mkdir(parents=True)
    (ws / "f").write_bytes(b"f")


Change = Callable[[], None]


@asynccontextmanager
async def _between(
    server: ServerProcess, sandbox: dict[str, Any], warm: Path
) -> AsyncIterator[Files]:
    """A connection whose worker has been used."""
    async with files_of(server, sandbox) as files:
        # So often that the disk is not looked at any more: the kernel tells of changes.
        for _ in range(4):
            await files.read(warm)
        yield files


async def _while_one_runs(files: Files, site: Path, change: Change) -> None:
    """Change the disk while a request of the same plan is under way.

    A FIFO that nobody reads from holds a write up for a second; the change comes after the
    write has begun, and the next request is queued behind it.
    """
    fifo = site / "ws/fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write = await files.send("writeFile", path=fifo, dataBase64="QUJD" * 100_000)
        # Something arrived: the worker is inside the write.
        await _readable(reader)
        change()
        assert await files.client.outcome(write) == -32603
    finally:
        os.close(reader)


async def _readable(descriptor: int) -> None:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, event.set)
    try:
        async with asyncio.timeout(20):
            await event.wait()
    finally:
        loop.remove_reader(descriptor)


async def _apply(files: Files, site: Path, when: str, change: Change) -> None:
    if when == "between":
        change()
    else:
        await _while_one_runs(files, site, change)


WHEN = pytest.mark.parametrize("when", ["between", "during"])


async def test_an_unchanged_disk_is_served_by_the_same_worker(
    server: ServerProcess, site: Path
) -> None:
    before = descendants(server.pid)
    async with _between(server, restricted_read(site / "ws"), site / "ws/f") as files:
        workers = descendants(server.pid) - before
        for number in range(20):
            await files.write(site / f"ws/{number}", b"x")
        assert descendants(server.pid) - before == workers


@WHEN
async def test_a_root_that_was_made_again_is_the_one_that_is_written(
    server: ServerProcess, site: Path, when: str
) -> None:
    ws = site / "ws"

    def change() -> None:
        ws.rename(site / "old")
        _make_workspace(ws)

    async with _between(server, workspace_write(ws), ws / "f") as files:
        await _apply(files, site, when, change)
        await files.write(ws / "new", b"new")
        assert (ws / "new").read_bytes() == b"new"
        assert not (site / "old/new").exists()


@WHEN
async def test_a_root_that_was_deleted_is_not_there(
    server: ServerProcess, site: Path, when: str
) -> None:
    ws = site / "ws"
    async with _between(server, restricted_read(ws), ws / "f") as files:
        await _apply(files, site, when, lambda: shutil.rmtree(ws))
        assert await files.code("readFile", path=ws / "f") == -32004
        assert await files.write_code(ws / "f") in DENIED | {0}
        assert not ws.exists()


@WHEN
async def test_a_protected_name_is_protected_as_soon_as_it_is_there(
    server: ServerProcess, site: Path, when: str
) -> None:
    ws = site / "ws"
    (ws / ".git").rmdir()

    def change() -> None:
        shutil.rmtree(ws / ".git", ignore_errors=True)
        (ws / ".git/hooks").mkdir(parents=True)

    async with _between(server, workspace_write(ws), ws / "f") as files:
        await _apply(files, site, when, change)
        assert await files.write_code(ws / ".git/hooks/post-checkout") in DENIED
        assert await files.code("remove", path=ws / ".git") in DENIED
        assert os.listdir(ws / ".git/hooks") == []
        await files.write(ws / "fine", b"fine")


@WHEN
async def test_a_file_under_a_deny_pattern_is_denied_as_soon_as_it_is_there(
    server: ServerProcess, site: Path, when: str
) -> None:
    ws = site / "ws"
    sandbox = workspace_write(ws, deny_glob(f"{ws}/**/*.env"))

    def change() -> None:
        (ws / "sub").mkdir()
        (ws / "sub/x.env").write_bytes(b"KEY=1")

    async with _between(server, sandbox, ws / "f") as files:
        await _apply(files, site, when, change)
        assert await files.code("readFile", path=ws / "sub/x.env") in DENIED
        assert await files.write_code(ws / "sub/x.env") in DENIED
        assert (ws / "sub/x.env").read_bytes() == b"KEY=1"


def _replace(path: Path) -> None:
    """Save as editors do: write another file, and rename it."""
    new = path.with_name("saved")
    new.write_bytes(b"new")
    new.rename(path)


def _move_and_link(path: Path) -> None:
    """Leave the same file under the same name, another entry of the folder."""
    path.rename(path.with_name("moved"))
    os.link(path.with_name("moved"), path)


def _remove_and_write(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"new")


def _replace_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()
    path.write_bytes(b"new")


def _replace_folder_above(path: Path) -> None:
    """The same file again under another folder."""
    old = path.parent.with_name("old")
    path.parent.rename(old)
    path.parent.mkdir()
    os.link(old / path.name, path)


@WHEN
@pytest.mark.parametrize("policy", ["file", "folder", "pattern"])
@pytest.mark.parametrize(
    "replace",
    [_replace, _move_and_link, _remove_and_write, _replace_folder, _replace_folder_above],
)
async def test_what_is_denied_stays_so_when_it_is_replaced(
    server: ServerProcess, site: Path, when: str, policy: str, replace: Callable[[Path], None]
) -> None:
    ws = site / "ws"
    secret = ws / "sub/.env"
    secret.parent.mkdir()
    secret.write_bytes(b"old")
    denied = {
        "file": path(secret, "deny"),
        "folder": path(secret.parent, "deny"),
        "pattern": deny_glob(f"{ws}/**/*.env"),
    }[policy]
    async with _between(server, workspace_write(ws, denied), ws / "f") as files:
        assert await files.code("readFile", path=secret) in DENIED
        await _apply(files, site, when, lambda: replace(secret))
        for _ in range(4):
            assert await files.code("readFile", path=secret) in DENIED
            assert await files.write_code(secret) in DENIED
        assert secret.read_bytes() in (b"old", b"new")


@WHEN
async def test_a_missing_protected_name_stays_so_when_its_placeholder_is_taken_away(
    server: ServerProcess, site: Path, when: str
) -> None:
    ws = site / "ws"
    (ws / ".git").rmdir()
    async with _between(server, workspace_write(ws), ws / "f") as files:
        await _apply(files, site, when, (ws / ".git").rmdir)
        for _ in range(4):
            assert await files.code("createDirectory", path=ws / ".git/hooks") in DENIED


async def test_an_answer_is_withheld_when_what_is_denied_was_replaced_meanwhile(
    server: ServerProcess, site: Path
) -> None:
    ws = site / "ws"
    (ws / ".env").write_bytes(b"old")
    os.mkfifo(ws / "fifo")
    async with _between(server, workspace_write(ws, path(ws / ".env", "deny")), ws / "f") as files:
        reader = os.open(ws / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        try:
            write = await files.send("writeFile", path=ws / "fifo", dataBase64="QUJD" * 100_000)
            await _readable(reader)
            _replace(ws / ".env")
            with pytest.raises(WireError, match="changed during the request"):
                await files.client.answer(write)
        finally:
            os.close(reader)


@WHEN
async def test_a_root_that_is_a_link_means_what_the_link_means_now(
    server: ServerProcess, site: Path, when: str
) -> None:
    (site / "alias").symlink_to("ws")
    _make_workspace(site / "second")
    sandbox = context([place("minimal"), path(site / "alias", "write")])

    def change() -> None:
        (site / "alias").unlink()
        (site / "alias").symlink_to("second")

    async with _between(server, sandbox, site / "alias/f") as files:
        await _apply(files, site, when, change)
        await files.write(site / "alias/new", b"new")
        assert (site / "second/new").read_bytes() == b"new"
        assert not (site / "ws/new").exists()
        assert await files.code("readFile", path=site / "ws/f") == -32004


@WHEN
async def test_an_open_file_outlives_the_plan_that_it_was_opened_with(
    server: ServerProcess, site: Path, when: str
) -> None:
    ws = site / "ws"
    async with _between(server, restricted_read(ws), ws / "f") as files:
        await files.call("open", handleId="h", path=ws / "f")

        def change() -> None:
            ws.rename(site / "old")
            _make_workspace(ws)
            (ws / "f").write_bytes(b"another")

        await _apply(files, site, when, change)
        assert await files.read(ws / "f") == b"another"
        answer = await files.call("readBlock", handleId="h", offset=0, len=10)
        assert answer == {"chunk": "Zg==", "eof": True}


async def test_sandboxes_of_one_connection_do_not_mix(server: ServerProcess, site: Path) -> None:
    ws = site / "ws"
    tight, loose = restricted_read(ws), workspace_write(ws)
    async with files_of(server) as files:
        for _ in range(5):
            for sandbox, code in ((tight, -32004), (loose, 0), (None, 0)):
                files.sandbox = sandbox
                assert await files.code("readFile", path=site / "out/secret") == code
        sent = []
        for sandbox, code in ((tight, -32004), (loose, 0), (None, 0), (tight, -32004)) * 10:
            files.sandbox = sandbox
            sent.append((await files.send("readFile", path=site / "out/secret"), code))
        for request, code in sent:
            assert await files.client.outcome(request) == code


async def test_a_session_has_few_workers_however_many_policies_it_uses(
    server: ServerProcess, site: Path
) -> None:
    ws = site / "ws"
    before = descendants(server.pid)
    async with files_of(server) as files:
        for number in range(15):
            (site / str(number)).mkdir()
            files.sandbox = restricted_read(ws, path(site / str(number), "write"))
            await files.write(site / f"{number}/f", b"x")
            assert await files.code("readFile", path=site / f"{number - 1}/f") == -32004
        # Three processes for each worker: bubblewrap outside and inside, and the helper.
        assert len(descendants(server.pid) - before) <= 3 * 8


async def test_files_that_are_open_in_too_many_sandboxes_are_said_to_be(
    server: ServerProcess, site: Path
) -> None:
    ws = site / "ws"
    async with files_of(server) as files:
        for number in range(8):
            (site / str(number)).mkdir()
            files.sandbox = restricted_read(ws, path(site / str(number), "write"))
            await files.call("open", handleId=str(number), path=ws / "f")
        files.sandbox = restricted_read(ws)
        assert await files.code("readFile", path=ws / "f") == -32603
        await files.call("close", handleId="3")
        assert await files.read(ws / "f") == b"f"
        answer = await files.call("readBlock", handleId="4", offset=0, len=10)
        assert answer == {"chunk": "Zg==", "eof": True}


async def test_marks_of_missing_names_are_gone_soon_after_the_last_request(
    server: ServerProcess, site: Path
) -> None:
    ws = site / "bare"
    ws.mkdir()
    async with files_of(server, workspace_write(ws)) as files:
        for number in range(3):
            await files.write(ws / str(number), b"x")
        await asyncio.to_thread(_wait_for_names, ws, ["0", "1", "2"])
        # The next one gets a worker again.
        await files.write(ws / "3", b"x")
        assert await files.write_code(ws / ".git/config") in DENIED


def _wait_for_names(folder: Path, names: list[str]) -> None:
    deadline = time.monotonic() + 20
    while sorted(os.listdir(folder)) != names:
        assert time.monotonic() < deadline, os.listdir(folder)
        time.sleep(0.02)
