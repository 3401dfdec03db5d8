"""No file request gets out of its sandbox. Asked over the wire, looked at on the disk."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.nobody import NOBODY
from exec_testkit.sandboxes import context, path, place, read_only, restricted_read, workspace_write
from exec_testkit.server import ServerProcess

from .nobody import open_folder, server_of_nobody
from .speaking import DENIED, files_of

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("needs_sandbox")]

Policy = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module", params=["own", "nobody"])
def user(request: pytest.FixtureRequest) -> str:
    """Whom the server runs as: the tests' own user, or nobody in particular."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(user: str) -> Iterator[ServerProcess]:
    with ServerProcess() if user == "own" else server_of_nobody() as process:
        yield process


@pytest.fixture
def site(user: str) -> Iterator[Path]:
    with open_folder() as base:
        _fill(base)
        _give(user, base)
        yield base


def _give(user: str, folder: Path) -> None:
    """Let everything in a folder belong to the user whom the server runs as."""
    if user == "nobody":
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.fixture
def own_user(user: str) -> None:
    """For what needs its own server, or files of the tests' own environment."""
    if user != "own":
        pytest.skip("tried as the tests' own user")


def _fill(base: Path) -> None:
    """Make a workspace with links that lead out of it, and what they lead to."""
    for folder in ("ws/.git/hooks", "ws/.codex", "out/sub"):
        (base / folder).mkdir(parents=True)
    (base / "ws/in.txt").write_bytes(b"inside")
    (base / "out/secret").write_bytes(b"secret")
    (base / "ws/to-out").symlink_to(base / "out")
    (base / "ws/to-secret").symlink_to(base / "out/secret")
    (base / "ws/to-new").symlink_to(base / "out/new")


def _hides(site: Path) -> dict[str, Any]:
    return restricted_read(site / "ws")


def _denies(site: Path) -> dict[str, Any]:
    return workspace_write(site / "ws", path(site / "out", "deny"))


def _shows(site: Path) -> dict[str, Any]:
    return workspace_write(site / "ws")


READ_POLICIES = pytest.mark.parametrize("policy", [_hides, _denies])
WRITE_POLICIES = pytest.mark.parametrize("policy", [_hides, _denies, _shows])


def _outside(site: Path) -> dict[str, bytes | None]:
    return {
        str(found.relative_to(site)): found.read_bytes() if found.is_file() else None
        for found in sorted((site / "out").rglob("*"))
    }


_UNTOUCHED = {"out/secret": b"secret", "out/sub": None}


@READ_POLICIES
async def test_nothing_is_read_through_a_link_that_leads_out(
    server: ServerProcess, site: Path, policy: Policy
) -> None:
    options = {
        "maxDepth": 5,
        "maxDirectories": 99,
        "maxEntries": 99,
        "followDirectorySymlinks": True,
    }
    async with files_of(server, policy(site)) as files:
        ws = site / "ws"
        assert await files.read(ws / "in.txt") == b"inside"
        for secret in (ws / "to-secret", ws / "to-out/secret", site / "out/secret"):
            assert await files.code("readFile", path=secret) in DENIED
            assert await files.code("open", handleId="h", path=secret) in DENIED
        assert await files.code("readFile", path=f"{ws.as_uri()}/to-out/../secret") == -32004
        for folder in (ws / "to-out", site / "out"):
            assert await files.code("readDirectory", path=folder) in DENIED
            walked = await files.send("walk", path=folder, options=options)
            if await files.client.outcome(walked) == 0:
                answer = await files.call("walk", path=folder, options=options)
                assert answer["entries"] == []
        assert await files.code("getMetadata", path=site / "out/secret") in DENIED
        listed = await files.call("walk", path=ws, options=options)
        assert not any("secret" in entry["path"] for entry in listed["entries"])
        assert (
            await files.code(
                "copy", sourcePath=ws / "to-out", destinationPath=ws / "stolen", recursive=True
            )
            == 0
        )
        assert (ws / "stolen").is_symlink()  # the link, not what it leads to
        assert (
            await files.code(
                "copy",
                sourcePath=ws / "to-out/secret",
                destinationPath=ws / "stolen2",
                recursive=False,
            )
            in DENIED
        )
        assert not (ws / "stolen2").exists()


@WRITE_POLICIES
@pytest.mark.parametrize("follow", [None, False])
async def test_nothing_is_written_through_a_link_that_leads_out(
    server: ServerProcess, site: Path, policy: Policy, follow: bool | None
) -> None:
    async with files_of(server, policy(site)) as files:
        ws = site / "ws"
        how: dict[str, Any] = {} if follow is None else {"followSymlinks": follow}
        for target in (ws / "to-secret", ws / "to-out/new", ws / "to-new", ws / "to-out/sub/new"):
            assert await files.write_code(target, **how) in DENIED
            assert await files.write_code(target, atomic=True, **how) in DENIED
        for target in (ws / "to-out/dir", ws / "to-out/sub/dir"):
            for recursive in (True, False):
                code = await files.code("createDirectory", path=target, recursive=recursive, **how)
                assert code in DENIED
        assert await files.code(
            "remove", path=ws / "to-out/secret", force=False, recursive=False, **how
        ) in (DENIED)
        for target in (ws / "to-out/stolen", ws / "to-new"):
            code = await files.code(
                "copy", sourcePath=ws / "in.txt", destinationPath=target, recursive=False
            )
            assert code in DENIED
        code = await files.code("open", handleId="h", path=ws / "to-secret", mode="replace")
        assert code in DENIED
        code = await files.code(
            "move", sourcePath=ws / "in.txt", destinationPath=ws / "to-out/moved"
        )
        assert code in DENIED
        code = await files.code(
            "move", sourcePath=ws / "to-out/secret", destinationPath=ws / "moved"
        )
        assert code in DENIED
        assert (ws / "in.txt").read_bytes() == b"inside"
        assert _outside(site) == _UNTOUCHED


@WRITE_POLICIES
async def test_removing_a_link_removes_the_link_and_not_what_it_leads_to(
    server: ServerProcess, site: Path, policy: Policy
) -> None:
    async with files_of(server, policy(site)) as files:
        for name in ("to-out", "to-secret", "to-new"):
            assert await files.call("remove", path=site / "ws" / name) == {}
            assert not (site / "ws" / name).is_symlink()
        assert _outside(site) == _UNTOUCHED


async def test_a_read_only_sandbox_writes_nowhere(server: ServerProcess, site: Path) -> None:
    async with files_of(server, read_only(site / "ws")) as files:
        ws = site / "ws"
        assert await files.read(ws / "in.txt") == b"inside"
        assert await files.write_code(ws / "in.txt") == -32603
        assert await files.write_code(ws / "new") == -32603
        assert await files.code("createDirectory", path=ws / "new") == -32603
        assert await files.code("remove", path=ws / "in.txt") == -32603
        assert await files.code("open", handleId="h", path=ws / "in.txt", mode="replace") == -32603
        assert sorted(os.listdir(ws)) == [
            ".codex", ".git", "in.txt", "to-new", "to-out", "to-secret",
        ]  # fmt: skip
        assert (ws / "in.txt").read_bytes() == b"inside"


@WRITE_POLICIES
async def test_protected_names_stay_as_they_are(
    server: ServerProcess, site: Path, policy: Policy, user: str
) -> None:
    async with files_of(server, policy(site)) as files:
        ws = site / "ws"
        for target in (".git/hooks/post-checkout", ".git/config", ".codex/config.toml"):
            assert await files.write_code(ws / target) == -32603
        for target in (".agents/notes", ".aws/credentials", ".agents", ".aws"):
            assert await files.write_code(ws / target) in DENIED
        for target in (".git", ".codex", ".git/hooks"):
            assert await files.code("remove", path=ws / target) in DENIED
            code = await files.code("move", sourcePath=ws / target, destinationPath=ws / "moved")
            assert code in DENIED
        code = await files.code(
            "copy", sourcePath=ws / "in.txt", destinationPath=ws / ".git/config", recursive=False
        )
        assert code in DENIED
        assert os.listdir(ws / ".git") == ["hooks"]
        assert os.listdir(ws / ".git/hooks") == []
        assert os.listdir(ws / ".codex") == []
        (ws / "deeper/.git").mkdir(parents=True)
        _give(user, ws / "deeper")
        assert await files.write(ws / "deeper/.git/config", b"fine") == {}


@pytest.mark.parametrize(
    "secret",
    [
        "/proc/self/environ",
        "/proc/1/environ",
        "/proc/self/mem",
        "/proc/self/root/etc/shadow",
        "/proc/1/root/etc/shadow",
        "/proc/1/cwd/etc/shadow",
        "/etc/shadow-of-the-test",
    ],
)
async def test_proc_leads_nowhere(server: ServerProcess, site: Path, secret: str) -> None:
    async with files_of(server, _hides(site)) as files:
        request = await files.send("readFile", path=f"file://{secret}")
        if await files.client.outcome(request) == 0:
            text = await files.read(Path(secret))
            # Its own environment holds nothing, and its own root nothing from outside.
            assert b"SECRET" not in text
        host = f"file:///proc/{server.pid}/environ"
        assert await files.code("readFile", path=host) == -32004
        for number in range(3, 20):
            inherited = f"file:///proc/self/fd/{number}/out/secret"
            assert await files.code("readFile", path=inherited) in DENIED
            held = f"file:///proc/self/fd/{number}"
            assert await files.code("readDirectory", path=held) in DENIED


async def test_the_system_is_not_changed_through_proc_or_dev(
    server: ServerProcess, site: Path
) -> None:
    async with files_of(server, _shows(site)) as files:
        before = Path("/proc/sys/kernel/core_pattern").read_bytes()
        for name in ("kernel/core_pattern", "kernel/hostname", "vm/overcommit_memory"):
            assert await files.write_code(Path("/proc/sys") / name, before) in DENIED
        assert await files.write_code(Path("/proc/sysrq-trigger"), b"h") in DENIED
        for name in os.listdir("/dev"):
            if stat.S_ISBLK(os.lstat(f"/dev/{name}").st_mode):
                assert await files.code("readFile", path=Path("/dev") / name) in DENIED
        assert await files.code("readFile", path=Path("/dev/mem")) in DENIED
        assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before


async def test_sockets_of_the_host_cannot_be_used_as_files(
    server: ServerProcess, site: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site / "ws/socket"))
        listener.listen()
        async with files_of(server, _shows(site)) as files:
            assert await files.code("readFile", path=site / "ws/socket") in DENIED
            assert await files.write_code(site / "ws/socket") in DENIED


@pytest.mark.usefixtures("own_user")
async def test_files_beside_the_helper_cannot_be_read(server: ServerProcess, site: Path) -> None:
    import sys

    import fs_helper

    beside = Path(sys.prefix) / "pyvenv.cfg"
    package = Path(fs_helper.__file__).parent
    neighbour = package.parent / "neighbour-of-the-helper"
    neighbour.write_bytes(b"credentials")
    (site / "ws/to-neighbour").symlink_to(neighbour)
    try:
        async with files_of(server, _hides(site)) as files:
            assert await files.code("readFile", path=beside) == -32004
            for way in (neighbour, site / "ws/to-neighbour"):
                assert await files.code("readFile", path=way) == -32004
                assert await files.code("open", handleId="h", path=way) == -32004
            code = await files.code(
                "copy",
                sourcePath=neighbour,
                destinationPath=site / "ws/stolen",
                recursive=False,
            )
            assert code == -32004
            listed = await files.call("readDirectory", path=package.parent)
            assert [entry["fileName"] for entry in listed["entries"]] == [package.name]
            assert await files.write_code(package / "main.py") in DENIED
    finally:
        neighbour.unlink()


async def test_a_root_that_is_named_through_a_link_can_be_written(
    server: ServerProcess, site: Path
) -> None:
    (site / "alias").symlink_to(site / "ws")
    policy = context([place("root"), path(site / "alias", "write")])
    async with files_of(server, policy) as files:
        assert await files.write(site / "alias/new", b"one") == {}
        assert await files.write(site / "ws/new2", b"two") == {}
        assert (site / "ws/new").read_bytes() == b"one"
        assert await files.write_code(site / "out/new") == -32603


async def test_a_write_goes_to_the_file_that_a_hard_link_shares(
    server: ServerProcess, site: Path
) -> None:
    os.link(site / "ws/in.txt", site / "ws/second")
    inode = (site / "ws/second").stat().st_ino
    async with files_of(server, _shows(site)) as files:
        await files.write(site / "ws/in.txt", b"both")
    assert (site / "ws/second").read_bytes() == b"both"
    assert (site / "ws/in.txt").stat().st_ino == inode


async def test_links_are_resolved_inside(server: ServerProcess, site: Path) -> None:
    (site / "ws/dir").mkdir()
    (site / "ws/to-dir").symlink_to("dir")
    async with files_of(server, _hides(site)) as files:
        answer = await files.call("canonicalize", path=site / "ws/to-dir")
        assert answer == {"path": (site / "ws/dir").as_uri()}
        assert await files.code("canonicalize", path=site / "ws/to-out") == -32004


async def test_the_workspace_is_what_workspace_roots_name_and_not_the_directory(
    server: ServerProcess, site: Path
) -> None:
    policy = context(
        [place("minimal"), place("project_roots", "read")], roots=[site / "ws"], cwd=site / "out"
    )
    async with files_of(server, policy) as files:
        assert await files.read(site / "ws/in.txt") == b"inside"
        assert await files.code("readFile", path=site / "out/secret") == -32004


async def test_no_workspace_roots_grant_nothing(server: ServerProcess, site: Path) -> None:
    policy = context([place("minimal"), place("project_roots", "write")], cwd=site / "ws")
    async with files_of(server, policy) as files:
        assert await files.code("readFile", path=site / "ws/in.txt") == -32004
        assert await files.write_code(site / "ws/in.txt") in DENIED
        assert (site / "ws/in.txt").read_bytes() == b"inside"


async def test_what_else_is_granted_can_be_used(
    server: ServerProcess, site: Path, user: str
) -> None:
    (site / "extra").mkdir()
    (site / "readable").mkdir()
    (site / "readable/f").write_bytes(b"content")
    _give(user, site)
    policy = restricted_read(
        site / "ws", path(site / "extra", "write"), path(site / "readable", "read")
    )
    async with files_of(server, policy) as files:
        await files.write(site / "extra/new", b"new")
        assert (site / "extra/new").read_bytes() == b"new"
        assert await files.read(site / "readable/f") == b"content"
        assert (await files.call("getMetadata", path=site / "readable/f"))["size"] == 7
        assert await files.stream(site / "readable/f") == [b"content"]
        assert await files.write_code(site / "readable/f") == -32603


async def test_a_sandbox_that_cannot_be_enforced_is_refused(
    server: ServerProcess, site: Path
) -> None:
    async with files_of(server, context([place("project_roots", "write")], roots=[])) as files:
        assert await files.code("readFile", path=site / "ws/in.txt") == -32602
    policy = workspace_write(site / "ws", useLegacyLandlock=True)
    async with files_of(server, policy) as files:
        assert await files.code("readFile", path=site / "ws/in.txt") == -32600
        assert await files.write_code(site / "ws/new") == -32600
        assert not (site / "ws/new").exists()
    old = {"path": (site / "ws/new").as_uri(), "dataBase64": "", "sandboxPolicy": "readOnly"}
    async with files_of(server) as files:
        assert await files.client.refused("fs/writeFile", old) == -32602


@pytest.mark.usefixtures("own_user")
@pytest.mark.parametrize(
    "permissions",
    [
        {"type": "disabled"},
        {"type": "external", "network": "restricted"},
        {"type": "managed", "file_system": {"type": "unrestricted"}, "network": "restricted"},
    ],
)
async def test_policies_that_leave_files_free_need_no_bubblewrap(
    site: Path, permissions: dict[str, Any]
) -> None:
    sandbox = {"permissions": permissions, "windowsSandboxLevel": "disabled"}
    with ServerProcess(env={"PATH": "/nowhere"}) as server:
        async with files_of(server, sandbox) as files:
            await files.write(site / "out/new", b"free")
            assert await files.read(site / "out/new") == b"free"


@pytest.mark.usefixtures("own_user")
async def test_the_bubblewrap_that_is_first_on_path_is_the_one_that_runs(
    site: Path, tmp_path: Path
) -> None:
    """The smoke test of a sandboxed remote write."""
    from exec_server.sandbox.bubblewrap import find_bubblewrap

    real = os.fsdecode(find_bubblewrap().path)
    bin_folder = tmp_path / "first-on-path"
    bin_folder.mkdir()
    ran = tmp_path / "ran"
    fake = bin_folder / "bwrap"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {ran}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    with ServerProcess(env=env) as server:
        async with files_of(server, _shows(site)) as files:
            await files.write(site / "ws/new", b"through the fake")
            assert await files.write_code(site / "out/new") == -32603
    assert (site / "ws/new").read_bytes() == b"through the fake"
    assert ran.read_text()
    assert _outside(site) == _UNTOUCHED
