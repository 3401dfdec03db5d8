"""What is changed outside under a running command stays denied and protected inside."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sys
from collections.abc import Callable
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


def _replace_folder(folder: Path) -> None:
    folder.rename(folder.with_name("old"))
    folder.mkdir()


def _replace_above(ws: Path) -> None:
    _replace_folder(ws / "sub")
    (ws / "sub/.env").write_text("SECRET")


def _clone(ws: Path) -> None:
    shutil.rmtree(ws / ".git", ignore_errors=True)
    (ws / "cloned").mkdir()
    (ws / "cloned/config").write_text("cloned")
    (ws / "cloned").rename(ws / ".git")


def _make_later(ws: Path) -> None:
    shutil.rmtree(ws / "later", ignore_errors=True)
    if (ws / "later").exists():
        (ws / "later").unlink()
    (ws / "later").mkdir()
    (ws / "later/key").write_text("SECRET")


def _unmark(ws: Path) -> None:
    mark = ws / "later"
    mark.unlink()


CHANGES: list[Callable[[Path], object]] = [
    lambda ws: _save(ws / "sub/.env"),
    lambda ws: (ws / "sub/.env").rename(ws / "away") and (ws / "sub/.env").write_text("SECRET"),
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
