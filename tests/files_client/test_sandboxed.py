"""Policies: on one call, of a file system, of a client; for files and for processes alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from exec_client import ClientOptions, Environment, connect
from exec_server_protocol import PathUri, SandboxContext
from exec_server_protocol.sandbox import (
    FileSystemEntry,
    FixedPlace,
    ManagedPermissions,
    PathEntryPath,
    RestrictedFileSystem,
    SpecialEntryPath,
)
from exec_testkit.server import ServerProcess

pytestmark = pytest.mark.process

READ_ONLY = SandboxContext.read_only()
NONE = SandboxContext.disabled()


def _hiding(path: Path) -> SandboxContext:
    entries = [
        FileSystemEntry(path=SpecialEntryPath(value=FixedPlace(kind="root")), access="read"),
        FileSystemEntry(path=PathEntryPath(path=PathUri.from_native(path)), access="deny"),
    ]
    permissions = ManagedPermissions(
        file_system=RestrictedFileSystem(entries=entries), network="restricted"
    )
    return SandboxContext(permissions=permissions, windows_sandbox_level="disabled")


async def test_a_policy_holds_for_one_call(server: ServerProcess, folder: Path) -> None:
    async with connect(server.url) as client:
        with pytest.raises(OSError, match="Read-only file system"):
            await client.fs.write_text(folder / "f", "x", sandbox=READ_ONLY)
        with pytest.raises(OSError, match="Read-only file system"):
            await client.fs.open(folder / "f", "wb", sandbox=READ_ONLY)
        await client.fs.write_text(folder / "f", "x")
        assert await client.fs.read_text(folder / "f", sandbox=READ_ONLY) == "x"
        with pytest.raises(PermissionError):
            await client.fs.read_text(folder / "f", sandbox=_hiding(folder / "f"))


async def test_a_client_s_policy_holds_for_files_and_processes(
    server: ServerProcess, folder: Path
) -> None:
    (folder / "f").write_text("old")
    options = ClientOptions(sandbox=READ_ONLY)
    async with connect(server.url, options=options) as client:
        for call in (
            client.fs.write_text(folder / "f", "x"),
            client.fs.mkdir(folder / "d"),
            client.fs.remove(folder / "f"),
            client.fs.copy(folder / "f", folder / "g"),
            client.fs.move(folder / "f", folder / "g"),
            client.fs.upload(folder / "f", folder / "g"),
        ):
            with pytest.raises(OSError, match="Read-only file system"):
                await call
        done = await client.run(["sh", "-c", f"echo x > {folder}/f"])
        assert done.returncode != 0
        assert (folder / "f").read_text() == "old"

        await client.fs.write_text(folder / "f", "new", sandbox=NONE)
        done = await client.run(["sh", "-c", f"echo more >> {folder}/f"], sandbox=NONE)
        assert done.returncode == 0
        assert (folder / "f").read_text() == "newmore\n"


async def test_the_nearest_policy_wins(server: ServerProcess, folder: Path) -> None:
    options = ClientOptions(sandbox=READ_ONLY)
    writable = SandboxContext.workspace_write([PathUri.from_native(folder)])
    async with connect(server.url, options=options) as client:
        fs = client.fs.with_sandbox(writable)
        await fs.write_text(folder / "f", "x")
        with pytest.raises(OSError, match="Read-only file system"):
            await fs.write_text(folder / "f", "y", sandbox=READ_ONLY)
        with pytest.raises(OSError, match="Read-only file system"):
            await fs.with_sandbox(None).write_text(folder / "f", "y")


async def test_an_environment_has_a_policy(folder: Path) -> None:
    async with Environment.local(options=ClientOptions(sandbox=READ_ONLY)) as here:
        with pytest.raises(OSError, match="Read-only file system"):
            await here.fs.write_text(folder / "f", "x")
        assert (await here.run(["touch", str(folder / "f")])).returncode != 0
        assert await here.fs.exists(folder)
