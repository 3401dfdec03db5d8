"""What is changed outside under a running command stays denied and protected inside."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from exec_server.sandbox.mounter import can_mount
from exec_testkit.sandboxes import context, deny_glob, path, place
from exec_testkit.wire import WireClient

from .conftest import Executor

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.skipif(not can_mount(), reason="Linux older than 5.12 has no such calls"),
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(120),
]

ASK = """
cd "$1"
echo ready
while read -r question; do
    (cat sub/.env; cat later/key; mkdir .git/hooks && echo made; echo x > .git/config && echo wrote
    ) 2>/dev/null
    echo answered
done
"""


def _save(file: Path, text: str = "SECRET") -> None:
    new = file.with_name("saved")
    new.write_text(text)
    new.rename(file)


def _put(new: Path, place: Path) -> None:
    """Move something to a place, whatever a sandbox that is mended meanwhile puts there."""
    for number in range(1000):
        with suppress(FileNotFoundError):
            place.rename(place.with_name(f"old{number}"))
        with suppress(OSError):
            new.rename(place)
            return
    pytest.fail(f"{place.name} was always taken")


def _replace_folder(folder: Path) -> None:
    new = folder.with_name("new")
    new.mkdir()
    _put(new, folder)


def _replace_above(ws: Path) -> None:
    (ws / "new").mkdir()
    (ws / "new/.env").write_text("SECRET")
    _put(ws / "new", ws / "sub")


def _replace_file(file: Path) -> None:
    new = file.with_name("new")
    new.write_text("SECRET")
    _put(new, file)


def _clone(ws: Path) -> None:
    (ws / "cloned").mkdir()
    (ws / "cloned/config").write_text("cloned")
    _put(ws / "cloned", ws / ".git")


def _make_later(ws: Path) -> None:
    (ws / "new").mkdir()
    (ws / "new/key").write_text("SECRET")
    _put(ws / "new", ws / "later")


def _unmark(ws: Path) -> None:
    mark = ws / "later"
    mark.unlink()


CHANGES: list[Callable[[Path], object]] = [
    lambda ws: _save(ws / "sub/.env"),
    lambda ws: _replace_file(ws / "sub/.env"),
    _replace_above,
    lambda ws: (ws / ".git").rmdir(),
    lambda ws: _replace_folder(ws / ".git"),
    _clone,
    _unmark,
    _make_later,
]


@pytest.mark.parametrize("denied", ["path", "pattern"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_running_command_is_kept_from_what_has_come_to_a_denied_or_protected_place(
    executor: Executor, change: Callable[[Path], object], denied: str
) -> None:
    with executor.target() as target:
        ws = Path(target.site.root) / "ws"
        (ws / "sub").mkdir(parents=True)
        (ws / "sub/.env").write_text("SECRET")
        for made in (ws, ws / "sub", ws / "sub/.env"):
            os.chown(made, executor.owner or os.geteuid(), executor.owner or os.getegid())
        secret = path(ws / "sub/.env", "deny")
        if denied == "pattern":
            secret = deny_glob(f"{ws}/**/.env")
        policy = context([place("root"), path(ws, "write"), secret, path(ws / "later/key", "deny")])
        client = await WireClient.ready(executor.url)
        argv = ["/bin/sh", "-c", ASK, "sh", str(ws)]
        await client.start("p", argv, sandbox=policy, pipeStdin=True)
        assert await client.output_until(b"ready") == b"ready\n"
        assert await _ask(client) == b"answered\n"
        change(ws)
        # It takes some hundredths of a second until the sandbox is mended.
        async with asyncio.timeout(30):
            while await _ask(client) != b"answered\n":
                pass
        for _ in range(3):
            assert await _ask(client) == b"answered\n"
        await client.call("process/terminate", {"processId": "p"})
        _, code, _ = await client.finish("p")
        assert code == 137
        await client.close()


async def _ask(client: WireClient) -> bytes:
    question: dict[str, Any] = {
        "processId": "p",
        "writeId": os.urandom(8).hex(),
        "chunk": base64.b64encode(b"go\n").decode(),
    }
    await client.call("process/write", question)
    return await client.output_until(b"answered\n")
