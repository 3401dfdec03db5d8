"""File operations over the wire, in a sandbox and without: the same either way."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.sandboxes import workspace_write
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireError

from .speaking import Files, files_of

pytestmark = [pytest.mark.process, pytest.mark.slow]

_LIMITS: dict[str, Any] = {
    "maxDepth": 8,
    "maxDirectories": 100,
    "maxEntries": 100,
    "followDirectorySymlinks": True,
}


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    folder = Path(os.path.realpath(tmp_path)) / "ws"
    folder.mkdir()
    # With all of them there, the sandbox puts no marks into the workspace.
    for name in (".git", ".agents", ".codex", ".aws"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(params=["plain", "sandboxed"])
async def files(
    request: pytest.FixtureRequest, server: ServerProcess, ws: Path
) -> AsyncIterator[Files]:
    sandbox = None
    if request.param == "sandboxed":
        request.getfixturevalue("needs_sandbox")
        sandbox = workspace_write(ws)
    async with files_of(server, sandbox) as connected:
        yield connected


async def test_bytes_are_written_and_read(files: Files, ws: Path) -> None:
    await files.write(ws / "f", b"\0\xff content")
    assert (ws / "f").read_bytes() == b"\0\xff content"
    assert await files.read(ws / "f") == b"\0\xff content"
    assert await files.read(ws / "f", followSymlinks=False) == b"\0\xff content"


async def test_a_refusal_of_the_system_has_its_number_for_programs(files: Files, ws: Path) -> None:
    (ws / "folder").mkdir()
    (ws / "folder/f").touch()
    refused: dict[int, tuple[str, dict[str, Any]]] = {
        errno.ENOENT: ("readFile", {"path": ws / "missing"}),
        errno.EISDIR: ("writeFile", {"path": ws / "folder", "dataBase64": ""}),
        errno.ENOTDIR: ("getMetadata", {"path": ws / "folder/f/x"}),
        errno.EEXIST: ("createDirectory", {"path": ws / "folder", "recursive": False}),
        errno.ENOTEMPTY: ("remove", {"path": ws / "folder", "recursive": False, "force": False}),
        errno.ENAMETOOLONG: ("readFile", {"path": ws / ("x" * 300)}),
    }
    for number, (op, members) in refused.items():
        with pytest.raises(WireError, match=rf"\(os error {number}\)$") as raised:
            await files.call(op, **members)
        assert raised.value.data == {"errno": number}
    with pytest.raises(WireError) as raised:  # it is not the system that refuses
        await files.call("readFile", path=ws / "folder")
    assert raised.value.data is None


async def test_a_missing_parent_is_not_found(files: Files, ws: Path) -> None:
    assert await files.write_code(ws / "missing/f") == -32004
    assert not (ws / "missing").exists()


async def test_nested_directories_are_made(files: Files, ws: Path) -> None:
    assert await files.call("createDirectory", path=ws / "a/b/c", recursive=True) == {}
    assert await files.call("createDirectory", path=ws / "d/e", followSymlinks=False) == {}
    assert (ws / "a/b/c").is_dir()
    assert (ws / "d/e").is_dir()
    assert await files.code("createDirectory", path=ws / "x/y", recursive=False) == -32004


async def test_links_are_copied_as_links(files: Files, ws: Path) -> None:
    (ws / "tree").mkdir()
    (ws / "tree/f").write_bytes(b"f")
    (ws / "tree/link").symlink_to("f")
    (ws / "tree/broken").symlink_to("/nowhere/at/all")
    os.mkfifo(ws / "tree/fifo")
    await files.call(
        "copy", sourcePath=ws / "tree/link", destinationPath=ws / "one", recursive=False
    )
    assert os.readlink(ws / "one") == "f"
    await files.call("copy", sourcePath=ws / "tree", destinationPath=ws / "copy", recursive=True)
    assert sorted(os.listdir(ws / "copy")) == ["broken", "f", "link"]
    assert os.readlink(ws / "copy/link") == "f"
    assert os.readlink(ws / "copy/broken") == "/nowhere/at/all"
    fifo = await files.send(
        "copy", sourcePath=ws / "tree/fifo", destinationPath=ws / "no", recursive=False
    )
    assert await files.client.outcome(fifo) == -32600


async def test_what_cannot_be_copied_is_refused_and_nothing_is_made(files: Files, ws: Path) -> None:
    (ws / "tree/sub").mkdir(parents=True)
    (ws / "f").write_bytes(b"content")
    cases = [(ws / "tree", ws / "x", False), (ws / "tree", ws / "tree/sub/x", True)]
    for source, destination, recursive in cases:
        code = await files.code(
            "copy", sourcePath=source, destinationPath=destination, recursive=recursive
        )
        assert code == -32600
        assert not destination.exists()
    itself = await files.code(
        "copy", sourcePath=ws / "f", destinationPath=ws / "f", recursive=False
    )
    assert itself != 0
    assert (ws / "f").read_bytes() == b"content"


async def test_without_following_links_nothing_is_done_through_one(files: Files, ws: Path) -> None:
    (ws / "real").mkdir()
    (ws / "real/f").write_bytes(b"content")
    (ws / "leaf").symlink_to("real/f")
    (ws / "way").symlink_to("real")
    no: dict[str, Any] = {"followSymlinks": False}
    for path in (ws / "leaf", ws / "way/f"):
        assert await files.code("readFile", path=path, **no) == -32603
        assert await files.write_code(path, **no) == -32603
        assert await files.code("getMetadata", path=path, **no) in (-32600, -32603)
        assert await files.code("remove", path=path, recursive=False, **no) in (-32600, -32603)
    for path in (ws / "leaf", ws / "way", ws / "way/new"):
        assert await files.code("createDirectory", path=path, **no) == -32603
    assert (ws / "real/f").read_bytes() == b"content"
    assert sorted(os.listdir(ws / "real")) == ["f"]
    assert await files.code("createDirectory", path=Path("/"), recursive=False, **no) == -32603
    assert await files.call("remove", path=ws / "real/f", recursive=False, **no) == {}
    assert await files.call("remove", path=ws / "real", recursive=False, **no) == {}


def _birth_seconds(path: Path) -> int:
    said = subprocess.run(["stat", "-c", "%W", path], capture_output=True, check=True).stdout
    return int(said)


async def test_the_time_of_birth_is_the_systems(files: Files, ws: Path) -> None:
    (ws / "f").touch()
    meta = await files.call("getMetadata", path=ws / "f", followSymlinks=False)
    born = await asyncio.to_thread(_birth_seconds, ws / "f")
    assert meta["createdAtMs"] // 1000 == born


async def test_folders_that_can_only_be_searched_are_passed(files: Files, ws: Path) -> None:
    (ws / "search").mkdir()
    (ws / "search/f").write_bytes(b"content")
    (ws / "search/closed").write_bytes(b"")
    (ws / "search/closed").chmod(0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(ws / "search/socket"))
        (ws / "search").chmod(0o300)
        try:
            no: dict[str, Any] = {"followSymlinks": False}
            assert await files.read(ws / "search/f", **no) == b"content"
            for name in ("closed", "socket"):
                meta = await files.call("getMetadata", path=ws / "search" / name, **no)
                assert meta["size"] == 0
            assert await files.call("createDirectory", path=ws / "search/new", **no) == {}
        finally:
            (ws / "search").chmod(0o700)


async def test_writing_to_a_fifo_without_a_reader_fails_at_once(files: Files, ws: Path) -> None:
    os.mkfifo(ws / "fifo")
    async with asyncio.timeout(10):
        assert await files.write_code(ws / "fifo", followSymlinks=False) == -32603
        assert await files.write_code(ws / "fifo") == -32603
        assert await files.code("open", handleId="h", path=ws / "fifo") == -32600
        assert await files.code("readFile", path=ws / "fifo") == -32600


async def test_sixteen_can_make_the_same_directories_at_once(
    files: Files, server: ServerProcess, ws: Path
) -> None:
    async def make(round_: int) -> int:
        async with files_of(server, files.sandbox) as mine:
            return await mine.code(
                "createDirectory", path=ws / f"{round_}/a/b/c/d", followSymlinks=False
            )

    for round_ in range(2):
        codes = await asyncio.gather(*(make(round_) for _ in range(16)))
        assert codes == [0] * 16
        assert (ws / f"{round_}/a/b/c/d").is_dir()


async def test_flags_are_those_of_the_target_and_broken_links_are_left_out(
    files: Files, ws: Path
) -> None:
    (ws / "t").mkdir()
    (ws / "t/f").write_bytes(b"content")
    (ws / "t/d").mkdir()
    (ws / "t/to-f").symlink_to("f")
    (ws / "t/to-d").symlink_to("d")
    (ws / "t/broken").symlink_to("nothing")
    listed = await files.call("readDirectory", path=ws / "t")
    flags = {e["fileName"]: (e["isDirectory"], e["isFile"]) for e in listed["entries"]}
    assert flags == {
        "f": (False, True),
        "to-f": (False, True),
        "d": (True, False),
        "to-d": (True, False),
    }
    meta = await files.call("getMetadata", path=ws / "t/to-f")
    assert (meta["isFile"], meta["isSymlink"], meta["size"]) == (True, True, 7)
    assert await files.code("getMetadata", path=ws / "t/broken") == -32004


async def _walk(files: Files, root: Path, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await files.call("walk", path=root, options={**_LIMITS, **options})
    return answer


def _names(answer: dict[str, Any], root: Path) -> list[str]:
    return [entry["path"].removeprefix(root.as_uri() + "/") for entry in answer["entries"]]


async def test_a_walk_follows_links_to_directories_once(files: Files, ws: Path) -> None:
    root = ws / "w"
    (root / "real/sub").mkdir(parents=True)
    (root / "alias").symlink_to("real")
    (root / "loop").symlink_to(".")
    assert _names(await _walk(files, root), root) == ["alias", "loop", "real", "alias/sub"]
    plain = await _walk(files, root, followDirectorySymlinks=False)
    assert _names(plain, root) == ["real", "real/sub"]


async def test_a_walk_reports_names_that_are_not_utf_8(files: Files, ws: Path) -> None:
    root = ws / "w"
    root.mkdir()
    os.close(os.open(os.fsencode(root) + b"/n\xff", os.O_CREAT))
    answer = await _walk(files, root)
    assert answer["entries"] == []
    assert [error["path"] for error in answer["errors"]] == [f"{root.as_uri()}/n%EF%BF%BD"]


async def test_a_walk_prunes_hidden_directories_but_not_their_visible_aliases(
    files: Files, ws: Path
) -> None:
    root = ws / "w"
    (root / ".hidden/sub").mkdir(parents=True)
    (root / "visible").symlink_to(".hidden")
    answer = await _walk(files, root, pruneHiddenDirectories=True)
    assert _names(answer, root) == [".hidden", "visible", "visible/sub"]


async def test_a_walk_keeps_to_its_limits(files: Files, ws: Path) -> None:
    root = ws / "w"
    for name in "abc":
        (root / name).mkdir(parents=True)
        (root / name / "f").touch()
    assert (await _walk(files, root, maxEntries=2))["truncated"]
    assert len((await _walk(files, root, maxEntries=2))["entries"]) == 2
    few = await _walk(files, root, maxDirectories=2)
    assert few["truncated"]
    assert _names(few, root) == ["a", "b", "c", "a/f"]
    assert _names(await _walk(files, root, maxDepth=0), root) == ["a", "b", "c"]
    nothing = {**_LIMITS, "maxEntries": 0}
    assert await files.code("walk", path=ws / "missing", options=nothing) == -32600
    assert await files.code("walk", path=ws / "missing", options=_LIMITS) == -32004
    too_much = {**_LIMITS, "maxDepth": 65}
    assert await files.code("walk", path=root, options=too_much) == -32600
    assert (await _walk(files, root / "a/f"))["entries"] == []


async def test_a_file_arrives_in_blocks_of_at_most_a_mebibyte(files: Files, ws: Path) -> None:
    content = os.urandom(2 * 1024 * 1024 + 5)
    (ws / "f").write_bytes(content)
    blocks = await files.stream(ws / "f")
    assert [len(block) for block in blocks] == [1024 * 1024, 1024 * 1024, 5]
    assert b"".join(blocks) == content
    (ws / "exact").write_bytes(content[: 1024 * 1024])
    assert [len(block) for block in await files.stream(ws / "exact")] == [1024 * 1024, 0]


async def test_blocks_come_from_any_place_in_any_order(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"0123456789")
    await files.call("open", handleId="h", path=ws / "f")

    async def block(offset: int, length: int) -> tuple[str, bool]:
        answer = await files.call("readBlock", handleId="h", offset=offset, len=length)
        return answer["chunk"], answer["eof"]

    assert await block(8, 2) == ("ODk=", False)
    assert await block(0, 1) == ("MA==", False)
    assert await block(9, 5) == ("OQ==", True)
    assert await block(99, 5) == ("", True)
    for length in (0, 1024 * 1024 + 1):
        assert await files.code("readBlock", handleId="h", offset=0, len=length) == -32600
    assert await block(0, 1) == ("MA==", False)


async def test_an_open_file_stays_the_one_that_was_opened(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"old")
    await files.call("open", handleId="h", path=ws / "f")
    (ws / "g").write_bytes(b"new")
    (ws / "g").rename(ws / "f")
    answer = await files.call("readBlock", handleId="h", offset=0, len=10)
    assert answer == {"chunk": "b2xk", "eof": True}


async def test_a_finished_stream_gives_its_place_back(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"x")
    for _ in range(129):
        await files.stream(ws / "f")


async def test_one_connection_has_at_most_128_files_open(
    files: Files, server: ServerProcess, ws: Path
) -> None:
    (ws / "f").write_bytes(b"x")
    for number in range(128):
        await files.call("open", handleId=str(number), path=ws / "f")
    (ws / "g").write_bytes(b"kept")
    assert await files.code("open", handleId="g", path=ws / "g", mode="replace") == -32600
    assert (ws / "g").read_bytes() == b"kept"
    assert await files.code("open", handleId="5", path=ws / "f") == -32600
    assert await files.call("close", handleId="5") == {}
    assert await files.call("close", handleId="5") == {}
    assert await files.call("open", handleId="5", path=ws / "f") == {"handleId": "5"}
    async with files_of(server, files.sandbox) as other:
        assert await other.code("readBlock", handleId="5", offset=0, len=1) == -32004
        await other.call("open", handleId="5", path=ws / "f")


async def test_an_id_of_a_file_has_at_most_32_bytes(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"x")
    for handle_id in ("x" * 33, "é" * 17):
        assert await files.code("open", handleId=handle_id, path=ws / "f") == -32600
        assert await files.code("readBlock", handleId=handle_id, offset=0, len=1) == -32600
        assert await files.code("close", handleId=handle_id) == -32600
    for handle_id in ("", "é" * 16):
        await files.call("open", handleId=handle_id, path=ws / "f")


async def test_files_are_closed_with_their_connection(
    server: ServerProcess, ws: Path, files: Files
) -> None:
    (ws / "f").write_bytes(b"x")
    async with files_of(server, files.sandbox) as first:
        await first.call("open", handleId="h", path=ws / "f")
        session = first.client.session_id
    from exec_testkit.wire import WireClient

    again = Files(await WireClient.ready(server.url, resume=session), files.sandbox)
    assert await again.code("readBlock", handleId="h", offset=0, len=1) == -32004
    await again.call("open", handleId="h", path=ws / "f")
    await again.client.close()


async def test_blocks_are_written_at_their_places(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"to be emptied")
    await files.call("open", handleId="w", path=ws / "f", mode="replace")
    assert (ws / "f").read_bytes() == b""
    await files.call("writeBlock", handleId="w", offset=4, chunk="ZW5k")
    await files.call("writeBlock", handleId="w", offset=0, chunk="YmU=")
    assert (ws / "f").read_bytes() == b"be\0\0end"
    assert await files.code("readBlock", handleId="w", offset=0, len=1) == -32603
    assert await files.code("writeBlock", handleId="w", offset=0, chunk="") == -32600
    assert await files.code("writeBlock", handleId="w", offset=2**63, chunk="YQ==") == -32600
    await files.call("writeBlock", handleId="w", offset=2, chunk="Kys=")
    assert (ws / "f").read_bytes() == b"be++end"


async def test_an_atomic_write_replaces_the_file_and_keeps_its_mode(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"old")
    (ws / "f").chmod(0o751)
    before = (ws / "f").stat()
    await files.write(ws / "f", b"new", atomic=True)
    assert (ws / "f").read_bytes() == b"new"
    assert (ws / "f").stat().st_mode == before.st_mode
    assert (ws / "f").stat().st_ino != before.st_ino
    assert sorted(os.listdir(ws)) == [".agents", ".aws", ".codex", ".git", "f"]


async def test_a_move_replaces_only_when_it_may(files: Files, ws: Path) -> None:
    (ws / "f").write_bytes(b"f")
    (ws / "g").write_bytes(b"g")
    move = {"sourcePath": ws / "f", "destinationPath": ws / "g"}
    assert await files.code("move", **move) == -32603
    assert (ws / "g").read_bytes() == b"g"
    await files.call("move", **move, overwrite=True)
    assert (ws / "g").read_bytes() == b"f"
    assert not (ws / "f").exists()


async def test_a_message_of_the_largest_size_is_written(files: Files, ws: Path) -> None:
    content = os.urandom(1024) * 1024 * 8  # 8 MiB: one WebSocket frame
    await files.write(ws / "f", content)
    assert (ws / "f").read_bytes() == content
    assert await files.write_code(ws / "f", b"", followSymlinks=True) == 0
    for bad in ("YQ", "YR==", "Y Q=", "Y!==", "é"):
        assert await files.code("writeFile", path=ws / "g", dataBase64=bad) == -32600
        assert not (ws / "g").exists()
