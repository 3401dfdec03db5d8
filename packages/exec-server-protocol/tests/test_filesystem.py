"""``fs/*``: recorded messages, what may be absent or null, what is refused, our extensions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.errors import InvalidParamsError
from exec_server_protocol.filesystem import (
    CAPABILITY_ATOMIC_WRITE,
    CAPABILITY_MOVE,
    FsGetMetadataResult,
    FsMoveParams,
    FsOpenParams,
    FsReadBlockResult,
    FsReadDirectoryResult,
    FsReadFileResult,
    FsWalkResult,
    FsWatchMissingResult,
    FsWriteBlockParams,
    FsWriteFileParams,
)
from exec_server_protocol.methods import METHODS
from exec_server_protocol.path_uri import PathUri
from pydantic import ValidationError

CORPUS = json.loads((Path(__file__).parent / "corpus" / "filesystem.json").read_text())
RECORDED = [(name, message) for name, messages in CORPUS.items() for message in messages]
A, B = "file:///a", "file:///b"
OPTIONS = {
    "maxDepth": 6,
    "maxDirectories": 64,
    "maxEntries": 1000,
    "followDirectorySymlinks": False,
}

SMALLEST: dict[str, dict[str, Any]] = {
    "fs/readFile": {"path": A},
    "fs/writeFile": {"path": A, "dataBase64": ""},
    "fs/createDirectory": {"path": A},
    "fs/getMetadata": {"path": A},
    "fs/canonicalize": {"path": A},
    "fs/readDirectory": {"path": A},
    "fs/walk": {"path": A, "options": OPTIONS},
    "fs/remove": {"path": A},
    "fs/copy": {"sourcePath": A, "destinationPath": B, "recursive": False},
    "fs/move": {"sourcePath": A, "destinationPath": B},
    "fs/setMetadata": {"path": A},
    "fs/createSymlink": {"path": A, "targetBase64": "Yg=="},
    "fs/readLink": {"path": A},
    "fs/open": {"handleId": "h", "path": A},
    "fs/readBlock": {"handleId": "h", "offset": 0, "len": 1},
    "fs/writeBlock": {"handleId": "h", "offset": 0, "chunk": ""},
    "fs/close": {"handleId": "h"},
    "fs/watchMissing": {"watchId": 1, "missing": [A]},
}
EXTENSIONS = {"fs/move", "fs/setMetadata", "fs/createSymlink", "fs/readLink"}
NULLABLE = {
    "fs/readFile": ["followSymlinks", "sandbox"],
    "fs/writeFile": [
        "followSymlinks",
        "sandbox",
        "atomic",
        "exclusive",
        "createMode",
        "fileMode",
        "modifiedAtMs",
        "flush",
    ],
    "fs/createDirectory": ["recursive", "followSymlinks", "sandbox", "createMode"],
    "fs/getMetadata": ["followSymlinks", "sandbox", "details"],
    "fs/canonicalize": ["sandbox"],
    "fs/readDirectory": ["sandbox", "details"],
    "fs/walk": ["sandbox"],
    "fs/remove": ["recursive", "force", "followSymlinks", "sandbox"],
    "fs/copy": ["sandbox", "atomic", "followSymlinks", "listSkipped"],
    "fs/move": ["sandbox", "keepAttributes", "createMode", "fileMode", "modifiedAtMs"],
    "fs/setMetadata": [
        "followSymlinks",
        "sandbox",
        "fileMode",
        "modifiedAtMs",
        "accessedAtMs",
        "now",
    ],
    "fs/createSymlink": ["sandbox"],
    "fs/readLink": ["sandbox"],
    "fs/open": ["sandbox", "createMode", "lock"],
    "fs/readBlock": [],
    "fs/writeBlock": [],
    "fs/close": [],
    "fs/watchMissing": ["present"],
}
POSITIONAL: dict[str, list[Any]] = {
    "fs/readFile": [A, False, None],
    "fs/writeFile": [A, "YQ==", False, None],
    "fs/createDirectory": [A, False, True, None],
    "fs/getMetadata": [A, False, None],
    "fs/canonicalize": [A, None],
    "fs/readDirectory": [A, None],
    "fs/walk": [A, OPTIONS, None],
    "fs/remove": [A, False, True, False, None],
    "fs/copy": [A, B, True, None],
    "fs/open": ["h", A, "replace", None],
    "fs/readBlock": ["h", 7, 9],
    "fs/writeBlock": ["h", 7, "YQ=="],
    "fs/close": ["h"],
    "fs/watchMissing": [1, [A], B],
}
BY_NAME: dict[str, dict[str, Any]] = {
    "fs/readFile": {"path": A, "followSymlinks": False},
    "fs/writeFile": {"path": A, "dataBase64": "YQ==", "followSymlinks": False},
    "fs/createDirectory": {"path": A, "recursive": False, "followSymlinks": True},
    "fs/getMetadata": {"path": A, "followSymlinks": False},
    "fs/canonicalize": {"path": A},
    "fs/readDirectory": {"path": A},
    "fs/walk": {"path": A, "options": OPTIONS},
    "fs/remove": {"path": A, "recursive": False, "force": True, "followSymlinks": False},
    "fs/copy": {"sourcePath": A, "destinationPath": B, "recursive": True},
    "fs/open": {"handleId": "h", "path": A, "mode": "replace"},
    "fs/readBlock": {"handleId": "h", "offset": 7, "len": 9},
    "fs/writeBlock": {"handleId": "h", "offset": 7, "chunk": "YQ=="},
    "fs/close": {"handleId": "h"},
    "fs/watchMissing": {"watchId": 1, "missing": [A], "present": B},
}


def present(wire: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wire.items() if value is not None}


@pytest.mark.parametrize(("name", "message"), RECORDED)
def test_recorded_messages_come_back_as_they_were(name: str, message: dict[str, Any]) -> None:
    method = METHODS[name]
    assert present(method.decode_params(message["params"]).to_wire()) == present(message["params"])
    if "result" in message:
        assert method.result is not None
        assert method.result.model_validate(message["result"]).to_wire() == message["result"]


def test_every_file_method_is_tested_here() -> None:
    requests = {name for name, method in METHODS.items() if method.family == "filesystem"}
    assert requests - {"fs/missingChanged"} == SMALLEST.keys() == NULLABLE.keys()
    assert {name for name in requests if METHODS[name].extension} == EXTENSIONS
    assert POSITIONAL.keys() == BY_NAME.keys() == SMALLEST.keys() - EXTENSIONS


@pytest.mark.parametrize("name", SMALLEST)
def test_a_required_member_can_be_neither_absent_nor_null(name: str) -> None:
    METHODS[name].decode_params(SMALLEST[name])
    for member in SMALLEST[name]:
        rest = {key: value for key, value in SMALLEST[name].items() if key != member}
        with pytest.raises(InvalidParamsError, match=member):
            METHODS[name].decode_params(rest)
        with pytest.raises(InvalidParamsError, match=member):
            METHODS[name].decode_params({**rest, member: None})


@pytest.mark.parametrize("name", NULLABLE)
def test_an_optional_member_may_be_null_which_is_as_good_as_absent(name: str) -> None:
    nulls = dict.fromkeys(NULLABLE[name])
    decoded = METHODS[name].decode_params({**SMALLEST[name], **nulls})
    assert decoded == METHODS[name].decode_params(SMALLEST[name])


@pytest.mark.parametrize(
    ("name", "member"), [("fs/open", "mode"), ("fs/move", "overwrite")]
)  # fmt: skip
def test_a_member_with_a_default_may_be_absent_but_not_null(name: str, member: str) -> None:
    with pytest.raises(InvalidParamsError, match=member):
        METHODS[name].decode_params({**SMALLEST[name], member: None})


@pytest.mark.parametrize("name", POSITIONAL)
def test_members_keep_their_positions(name: str) -> None:
    assert METHODS[name].decode_params(POSITIONAL[name]) == METHODS[name].decode_params(
        BY_NAME[name]
    )


@pytest.mark.parametrize("name", SMALLEST)
def test_paths_are_uris_and_never_plain(name: str) -> None:
    for member, value in SMALLEST[name].items():
        if value in (A, B):
            with pytest.raises(InvalidParamsError, match=member):
                METHODS[name].decode_params({**SMALLEST[name], member: "/a"})
            with pytest.raises(InvalidParamsError, match=member):
                METHODS[name].decode_params({**SMALLEST[name], member: "file:///a%00"})


def test_the_defaults_are_those_of_the_wire() -> None:
    created = METHODS["fs/createDirectory"].decode_params({"path": A}).to_wire()
    removed = METHODS["fs/remove"].decode_params({"path": A}).to_wire()
    # Null stands for the default, which is true for all of them.
    assert (created["recursive"], created["followSymlinks"]) == (None, None)
    assert (removed["recursive"], removed["force"], removed["followSymlinks"]) == (None,) * 3
    assert FsOpenParams(handle_id="h", path=PathUri.parse(A)).mode == "read"


@pytest.mark.parametrize("mode", ["write", "", "Read", 0])
def test_a_file_is_opened_to_read_to_replace_or_to_update(mode: Any) -> None:
    for good in ("read", "replace", "update"):
        METHODS["fs/open"].decode_params({"handleId": "h", "path": A, "mode": good})
    with pytest.raises(InvalidParamsError, match="mode"):
        METHODS["fs/open"].decode_params({"handleId": "h", "path": A, "mode": mode})


@pytest.mark.parametrize("member", OPTIONS)
def test_a_walk_says_how_far(member: str) -> None:
    rest = {key: value for key, value in OPTIONS.items() if key != member}
    for options in (rest, {**rest, member: None}, {**rest, member: -1}, {**rest, member: "1"}):
        with pytest.raises(InvalidParamsError, match=member):
            METHODS["fs/walk"].decode_params({"path": A, "options": options})


def test_a_walk_enters_hidden_directories_unless_told() -> None:
    decoded = METHODS["fs/walk"].decode_params({"path": A, "options": OPTIONS}).to_wire()
    assert decoded["options"] == {**OPTIONS, "pruneHiddenDirectories": False}
    for bad in (None, 1):
        options = {**OPTIONS, "pruneHiddenDirectories": bad}
        with pytest.raises(InvalidParamsError, match="pruneHiddenDirectories"):
            METHODS["fs/walk"].decode_params({"path": A, "options": options})


@pytest.mark.parametrize("text", ["YQ", "YQ=", "YR==", "!", "YQ==\n", "a b"])
def test_what_is_to_be_written_is_checked_later_but_a_block_at_once(text: str) -> None:
    write = METHODS["fs/writeFile"].decode_params({"path": A, "dataBase64": text})
    assert isinstance(write, FsWriteFileParams)
    assert write.data_base64 == text
    with pytest.raises(InvalidParamsError, match="chunk"):
        METHODS["fs/writeBlock"].decode_params({"handleId": "h", "offset": 0, "chunk": text})


def test_bytes_are_bytes_in_python_and_base64_on_the_wire() -> None:
    block = METHODS["fs/writeBlock"].decode_params(BY_NAME["fs/writeBlock"])
    assert isinstance(block, FsWriteBlockParams)
    assert block.chunk == b"a"
    assert FsReadFileResult(data_base64=b"hello").to_wire() == {"dataBase64": "aGVsbG8="}
    assert FsReadFileResult(data_base64=b"").to_json() == b'{"dataBase64":""}'
    assert FsReadBlockResult.model_validate_json('{"chunk":"/w==","eof":true}').chunk == b"\xff"
    with pytest.raises(ValidationError):
        FsReadFileResult.model_validate({"dataBase64": "YQ"})


@pytest.mark.parametrize("member", ["offset", "len"])
@pytest.mark.parametrize("value", [-1, 1.0, "1", True, 2**64])
def test_offsets_and_lengths_are_unsigned_integers(member: str, value: Any) -> None:
    params = BY_NAME["fs/readBlock"]
    METHODS["fs/readBlock"].decode_params({**params, member: 2**64 - 1})
    with pytest.raises(InvalidParamsError, match=member):
        METHODS["fs/readBlock"].decode_params({**params, member: value})


def test_results_have_every_member() -> None:
    metadata = {
        "isDirectory": False,
        "isFile": True,
        "isSymlink": False,
        "size": 5,
        "createdAtMs": 0,
        "modifiedAtMs": 1795328754623,
    }
    assert FsGetMetadataResult.model_validate(metadata).to_wire() == metadata
    for member in metadata:
        with pytest.raises(ValidationError, match=member):
            FsGetMetadataResult.model_validate({**metadata, member: None})
    walk = {
        "entries": [{"path": A, "kind": "directory"}, {"path": B, "kind": "file"}],
        "errors": [{"path": "file:///n%EF%BF%BD", "message": "No such file or directory"}],
        "truncated": False,
    }
    assert FsWalkResult.model_validate(walk).to_wire() == walk
    listing = {"entries": [{"fileName": "one", "isDirectory": False, "isFile": True}]}
    assert FsReadDirectoryResult.model_validate(listing).to_wire() == listing
    assert FsWatchMissingResult(watching=True).to_wire() == {"watching": True}


@pytest.mark.parametrize("name", SMALLEST)
def test_an_answer_with_nothing_to_say_is_an_empty_object(name: str) -> None:
    result = METHODS[name].result
    assert result is not None
    if not result.model_fields:
        assert result().to_json() == b"{}"


def test_extensions_stay_out_of_the_json_when_unset() -> None:
    write = FsWriteFileParams(path=PathUri.parse(A), data_base64="")
    assert "atomic" not in write.to_wire()
    assert write.model_copy(update={"atomic": True}).to_wire()["atomic"] is True
    assert (CAPABILITY_ATOMIC_WRITE, CAPABILITY_MOVE) == ("fsAtomicWrite", "fsMove")
    assert METHODS["fs/move"].extension == CAPABILITY_MOVE


@pytest.mark.parametrize("name", ["fs/writeFile", "fs/setMetadata", "fs/move"])
def test_permission_bits_are_twelve(name: str) -> None:
    decode = METHODS[name].decode_params
    assert decode({**SMALLEST[name], "fileMode": 0o7777}).to_wire()["fileMode"] == 0o7777
    for bits in (-1, 0o10000, "0644", 0.5, True):
        with pytest.raises(InvalidParamsError, match="fileMode"):
            decode({**SMALLEST[name], "fileMode": bits})
        with pytest.raises(InvalidParamsError, match="fileMode"):
            METHODS[name].read_params({**SMALLEST[name], "fileMode": bits})


def test_a_move_does_not_overwrite_unless_told() -> None:
    plain = METHODS["fs/move"].decode_params(SMALLEST["fs/move"])
    assert plain.to_wire() == {**SMALLEST["fs/move"], "overwrite": False, "sandbox": None}
    over = METHODS["fs/move"].decode_params({**SMALLEST["fs/move"], "overwrite": True})
    assert isinstance(over, FsMoveParams)
    assert over.overwrite


@pytest.mark.parametrize("name", [name for name in NULLABLE if "sandbox" in NULLABLE[name]])
def test_a_sandbox_is_decoded_and_a_broken_one_refused(name: str) -> None:
    sandbox = {"permissions": {"type": "disabled"}, "windowsSandboxLevel": "disabled"}
    decoded = METHODS[name].decode_params({**SMALLEST[name], "sandbox": sandbox})
    assert decoded.to_wire()["sandbox"] == sandbox
    refused: list[Any] = [{}, "disabled", False, [], {"permissions": {"type": "readOnly"}}]
    for broken in refused:
        with pytest.raises(InvalidParamsError, match="sandbox"):
            METHODS[name].decode_params({**SMALLEST[name], "sandbox": broken})
