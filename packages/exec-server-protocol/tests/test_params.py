"""Objects without models: what is accepted, what comes out and what is said are the models'."""

from __future__ import annotations

import re
import subprocess
import sys
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from exec_server_protocol import _plain, _sandbox_field, handshake, http, process
from exec_server_protocol._checks import ShapeError
from exec_server_protocol._model import WireModel
from exec_server_protocol._params import Record
from exec_server_protocol._params_export import FILE, table_text
from exec_server_protocol._params_table import TABLE, Kind
from exec_server_protocol.errors import InvalidParamsError
from exec_server_protocol.limits import HTTP_HEADERS_MAX, SANDBOX_MAX_BYTES, WATCHED_PATHS_MAX
from exec_server_protocol.methods import METHODS, REQUESTS
from exec_server_protocol.path_uri import PathUri
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

PLAIN = sorted({*_plain.__all__} - {"ShapeError"})
MODELS: dict[str, type[WireModel]] = {
    name: model
    for module in (handshake, http, process)
    for name, model in vars(module).items()
    if name in PLAIN
}
JUNK = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**65, 1.0, 1.5, "", "x", "1", [], [None], ["x"], {}, {"x": 1}]
)
URIS = ("file:///", "file:///a%20b", "file://host/x", "/tmp", "http://x", "file:///%zz", "file:")
BASE64 = ("", "aGk=", "aGk", "a", "####", "aGl=")
IDS = (
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "0F8FAD5BD9CB469FA16570867728950E",
    "{0f8fad5b-d9cb-469f-a165-70867728950e}",
    "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5b-d9cb469f-a165-70867728950e",
    "urn:uuid:0f8fad5bd9cb469fa16570867728950e",
    "{0f8fad5bd9cb469fa16570867728950e}",
    "URN:UUID:0f8fad5b-d9cb-469f-a165-70867728950e",
    "{urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e}",
    "{0f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5b-d9cb-469f-a165-7086772895 e",
    "0g8fad5bd9cb469fa16570867728950e",
    "0f8fad5b-d9cb-469f-a165-7086772895\u0660e",
    "",
    "x",
)


_known: dict[str, st.SearchStrategy[Any]] = {}


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """Return JSON of a kind: right, nearly right, or wrong."""
    key = repr(kind)
    if key not in _known:
        right = _right(kind)
        _known[key] = st.integers(0, 31).flatmap(lambda n: right if n else JUNK)
    return _known[key]


def _right(kind: Kind) -> st.SearchStrategy[Any]:
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "text": st.sampled_from(["", "x", "Grüße", "a/b"]),
        "flag": st.booleans(),
        "object": st.dictionaries(st.sampled_from("ab"), JUNK, max_size=2),
        "base64": st.sampled_from(BASE64),
        "whole": st.sampled_from([0, -1, 255, 2**70]),
        "uri": st.sampled_from(URIS),
        "uuid": st.sampled_from(IDS),
    }
    if isinstance(kind, str):
        return scalars[kind]
    word, *rest = kind
    if word == "integer":
        return st.sampled_from([rest[0], rest[0] - 1, rest[1], rest[1] + 1, 7])
    if word == "one of":
        return st.sampled_from(rest)
    if word in ("or null", "or absent"):
        return st.none() | values(rest[0])
    if word == "at most":
        limit, inner = rest
        if inner != "text":
            return _right(inner)
        return _right(inner) | st.sampled_from(["x" * limit, "x" * (limit + 1)])
    if word == "list":
        return st.lists(values(rest[0]), max_size=3)
    if word == "map":
        return st.dictionaries(st.sampled_from("abc"), values(rest[0]), max_size=3)
    if word == "map of":
        names = st.sampled_from(rest[0])
        return st.dictionaries(names | st.just("other"), values(rest[1]), max_size=2)
    if word == "remembered":
        return _right(rest[0])
    if word == "tagged":
        tag, variants = rest
        return st.one_of([_object(name, {tag: value}) for value, name in variants.items()])
    assert word == "record"
    return _object(rest[0], {})


def _object(name: str, fixed: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        alias: st.just(fixed[member]) if member in fixed else values(kind)
        for member, alias, kind, _ in TABLE[name]
    }
    python_names = {alias: member for member, alias, _, _ in TABLE[name]}

    @st.composite
    def made(draw: st.DrawFn) -> dict[str, Any]:
        value = {alias: draw(strategy) for alias, strategy in members.items()}
        for alias in draw(st.lists(st.sampled_from(sorted(members) or ["x"]), max_size=2)):
            if alias in value and draw(st.booleans()):
                del value[alias]  # missing
            elif alias in value and draw(st.integers(0, 3)) == 0:
                value[python_names[alias]] = value.pop(alias)
        return {**value, "future": 1} if draw(st.booleans()) else value

    return made()


def outcome(read: Any, value: Any) -> Any:
    try:
        return plain(read(value))
    except InvalidParamsError as error:
        # The library tells of a UUID more than is worth telling.
        return [re.sub("valid UUID, .*", "valid UUID", one) for one in error.message.split("; ")]


def plain(value: Any) -> Any:
    if isinstance(value, WireModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Record):
        return {name: plain(item) for name, item in vars(value).items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, str) and value in IDS[:4]:
        value = UUID(value)
    return value, type(value)


@pytest.mark.parametrize("name", sorted(REQUESTS))
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_params_are_read_as_the_model_reads_them(name: str, data: st.DataObject) -> None:
    method = METHODS[name]
    value = data.draw(values(("record", method.params_name)))
    assert outcome(method.read_params, value) == outcome(method.decode_params, value)


@pytest.mark.parametrize("name", sorted(REQUESTS))
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_members_in_their_order_are_read_as_the_model_reads_them(
    name: str, data: st.DataObject
) -> None:
    method = METHODS[name]
    rows = TABLE[method.params_name]
    value = [data.draw(values(kind)) for _, _, kind, _ in rows[: data.draw(st.integers(0, 20))]]
    assert outcome(method.read_params, value) == outcome(method.decode_params, value)


def shape(read: Any, value: Any) -> Any:
    try:
        return plain(read(value))
    except (ShapeError, ValidationError):
        return "refused"


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_an_executor_sends_is_read_as_the_model_reads_it(
    name: str, data: st.DataObject
) -> None:
    value = data.draw(values(("record", name)) | JUNK)
    made = getattr(_plain, name)
    assert shape(made.model_validate, value) == shape(MODELS[name].model_validate, value)


PAGE = {
    "chunks": [
        {"seq": 1, "stream": "pty", "chunk": "aGk="}, {"seq": 3, "stream": "stderr", "chunk": ""},
    ],
    "nextSeq": 5, "exitSeq": 4, "exitCode": -1, "closed": True, "sandboxDenied": False, "signal": 9,
    "streamOffsets": {"pty": 0, "stderr": 2**64 - 1}, "streamEnds": {"stdout": 7},
}  # fmt: skip
INFO = {
    "shell": {"name": "sh", "path": "/bin/sh"}, "executorVersion": "1", "providerId": "",
    "cwd": "file:///srv", "userHomeDir": None, "platformOs": "linux",
    "prependPathDirs": ["file:///a"], "temporaryDirectories": [], "tempDir": "file:///tmp",
    "capabilities": {"processList": True, "other": 1},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "EnvironmentInfo": INFO,
    "HttpBodyDeltaNotification": {
        "requestId": "r", "seq": 1, "deltaBase64": "aGk=", "done": True, "error": "x",
    },
    "InitializeResult": {"sessionId": "s", "environmentInfo": INFO},
    "ProcessCatchUpResult": {**PAGE, "outputBytes": 2, "live": True},
    "ProcessReadResult": {**PAGE, "exited": True, "failure": "x"},
    "ProcessStartResult": {"processId": "p", "sandboxType": "linuxSeccomp", "pid": 7},
}  # fmt: skip
"""What an executor sends, with every member."""


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Return JSON with one change in it."""
    if not isinstance(value, dict | list) or not value or not draw(st.integers(0, 5)):
        return draw(JUNK)
    at = draw(st.sampled_from([*value] if isinstance(value, dict) else range(len(value))))
    copy = value.copy()
    what = draw(st.sampled_from(["below", "below", "below", "gone", "more"]))
    if what == "below":
        copy[at] = draw(changed(value[at]))
    elif what == "gone":
        del copy[at]
    elif isinstance(copy, dict):
        copy["other"] = copy[at]
    else:
        copy.append(copy[at])
    return copy


@pytest.mark.parametrize("name", ANSWERS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_an_answer_with_one_change_is_read_as_the_model_reads_it(
    name: str, data: st.DataObject
) -> None:
    made = getattr(_plain, name)
    assert shape(made.model_validate, ANSWERS[name]) != "refused"
    value = data.draw(changed(ANSWERS[name]))
    assert shape(made.model_validate, value) == shape(MODELS[name].model_validate, value)


class Word(str):
    """A text as libraries make them."""

    __slots__ = ()


class Number(IntEnum):
    """A number that has a name."""

    SEVEN = 7


PYTHON = st.sampled_from(
    [b"hi", bytearray(b"hi"), Word("x"), Word("none"), Number.SEVEN, ("x",), object()]
) | st.sampled_from(URIS[:3]).map(PathUri.parse)


def same(made: Any, model: Any, members: dict[str, Any]) -> None:
    try:
        expected = model(**members)
    except ValidationError as error:
        first = error.errors()[0]
        with pytest.raises(ShapeError) as caught:
            made(**members)
        assert caught.value.problems[0][0] == first["loc"]
        assert caught.value.is_of_type == first["type"].endswith(("_type", "_parsing"))
    else:
        found = made(**members)
        assert found.to_json() == expected.to_json()
        assert found.to_wire() == expected.to_wire()


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_made_here_is_written_as_the_model_writes_it(
    name: str, data: st.DataObject
) -> None:
    value = data.draw(values(("record", name)))
    try:
        model = MODELS[name].model_validate(value)
    except ValidationError:
        return
    members = {member: getattr(model, member) for member in MODELS[name].model_fields}
    for member in data.draw(st.lists(st.sampled_from(sorted(members) or ["x"]), max_size=2)):
        members[member] = data.draw(PYTHON | JUNK)
    same(getattr(_plain, name), MODELS[name], members)


@pytest.mark.parametrize("thread_id", IDS)
def test_a_uuid_is_what_the_model_takes_for_one(thread_id: str) -> None:
    method = METHODS["process/start"]
    value = {"processId": "p", "argv": [], "cwd": "file:///", "env": {}, "tty": False}
    value["metadata"] = {"threadId": thread_id}
    assert outcome(method.read_params, value) == outcome(method.decode_params, value)


def test_the_table_is_that_of_the_models() -> None:
    assert FILE.read_text(encoding="utf-8") == table_text()


def test_equal_policies_are_one_object_whatever_the_method() -> None:
    sandbox = {"permissions": {"type": "disabled"}, "windowsSandboxLevel": "disabled"}
    first = METHODS["fs/readFile"].read_params({"path": "file:///a", "sandbox": sandbox})
    other = METHODS["fs/getMetadata"].read_params({"path": "file:///b", "sandbox": {**sandbox}})
    assert first.sandbox is other.sandbox


def test_large_policies_are_checked_once_each_and_not_for_every_request() -> None:
    def sandbox(number: int) -> dict[str, Any]:
        where = f"file:///srv/{number}/"
        roots = [where + "x" * 100 + str(root) for root in range(SANDBOX_MAX_BYTES // 180)]
        return {
            "permissions": {"type": "disabled"},
            "windowsSandboxLevel": "disabled",
            "workspaceRoots": roots,
        }

    read = METHODS["fs/readFile"].read_params
    _sandbox_field._remembered.clear()  # what other tests left there might fill it up meanwhile
    found = [
        read({"path": f"file:///{asked}", "sandbox": sandbox(number)}).sandbox
        for asked in range(10)
        for number in range(3)
    ]
    assert len({id(one) for one in found}) == 3  # an object each is what a check makes


def test_what_is_remembered_of_policies_is_bounded() -> None:
    def sandbox(number: int, roots: int) -> dict[str, Any]:
        return {
            "permissions": {"type": "disabled"},
            "windowsSandboxLevel": "disabled",
            "workspaceRoots": [f"file:///srv/{number}"] * roots,
        }

    read = METHODS["fs/readFile"].read_params
    for roots, others in [(4000, 30), (1, 200)]:
        first = read({"path": "file:///", "sandbox": sandbox(0, roots)}).sandbox
        for number in range(1, others):
            read({"path": "file:///", "sandbox": sandbox(number, roots)})
        assert read({"path": "file:///", "sandbox": sandbox(0, roots)}).sandbox is not first


def test_true_is_not_taken_for_one_that_was_remembered() -> None:
    sandbox = {"permissions": {"type": "disabled"}, "windowsSandboxLevel": "disabled"}
    read = METHODS["fs/readFile"].read_params
    read({"path": "file:///a", "sandbox": {**sandbox, "useLegacyLandlock": True}})
    with pytest.raises(InvalidParamsError, match="useLegacyLandlock"):
        read({"path": "file:///a", "sandbox": {**sandbox, "useLegacyLandlock": 1}})


def test_a_record_does_not_show_what_it_holds() -> None:
    params = METHODS["initialize"].read_params({"clientName": "hunter2"})
    assert "hunter2" not in repr(params)


def test_reading_params_does_not_load_pydantic() -> None:
    code = (
        "import sys; from exec_server_protocol.methods import METHODS\n"
        "METHODS['initialize'].read_params({'clientName': 'x'})\n"
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(
    ("method", "member", "item", "limit"),
    [
        ("fs/watchMissing", "missing", "file:///x", WATCHED_PATHS_MAX),
        ("http/request", "headers", {"name": "a", "value": "b"}, HTTP_HEADERS_MAX),
    ],
)
def test_lists_are_as_long_as_the_model_lets_them_be(
    method: str, member: str, item: Any, limit: int, extra: int
) -> None:
    others = {"watchId": 1, "method": "GET", "url": "http://x/", "requestId": "r"}
    params = {**others, member: [item] * (limit + extra)}
    refusals = []
    for read in (REQUESTS[method].decode_params, REQUESTS[method].read_params):
        try:
            read(params)
        except InvalidParamsError as error:
            refusals.append(str(error))
    assert len(refusals) == 2 * extra
    assert len(set(refusals)) <= 1


def test_a_context_that_is_too_large_is_refused_by_both_in_the_same_words() -> None:
    entry = {"path": {"type": "path", "path": "file:///" + "x" * 1000}, "access": "read"}
    policy = {"type": "restricted", "entries": [entry] * (SANDBOX_MAX_BYTES // 1000)}
    sandbox = {
        "permissions": {"type": "managed", "file_system": policy, "network": "restricted"},
        "windowsSandboxLevel": "disabled",
    }
    params = {"path": "file:///x", "sandbox": sandbox}
    for read in (REQUESTS["fs/readFile"].decode_params, REQUESTS["fs/readFile"].read_params):
        with pytest.raises(InvalidParamsError, match="sandbox: a sandbox context has at most"):
            read(params)
