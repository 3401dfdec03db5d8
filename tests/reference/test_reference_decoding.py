"""What we decode and refuse, against the reference, params by params and path by path.

Nothing runs: params are decoded before the state of the handshake is looked at, so on a
connection that was never initialized the error's code tells whether they were understood. Where
we differ on purpose, the difference is named here.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from exec_server_protocol import schema
from exec_server_protocol.capabilities import EXTENSIONS
from exec_server_protocol.errors import (
    INVALID_PARAMS,
    InvalidParamsError,
    MalformedMessageError,
)
from exec_server_protocol.methods import REQUESTS
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from exec_server_protocol.rpc import Request, decode
from exec_testkit.server import ServerProcess
from exec_testkit.wire_params import GOOD_PARAMS, mutants, text_of
from websockets.sync.client import ClientConnection, connect

pytestmark = [pytest.mark.process, pytest.mark.slow]
_BATCH = 50  # requests in flight: fewer than any side's limits
_WAIT_SECONDS = 20.0

_KINDS: tuple[Any, ...] = (5, "x", True, None, {}, [])


def _answers(connection: ClientConnection, requests: Sequence[str]) -> Iterator[Any]:
    """Yield the error of each answer, or ``None``."""
    for start in range(0, len(requests), _BATCH):
        batch = requests[start : start + _BATCH]
        for text in batch:
            connection.send(text)
        for _ in batch:
            yield json.loads(connection.recv(_WAIT_SECONDS)).get("error")


def _understood(text: str) -> bool:
    message = decode(text)
    assert isinstance(message, Request)
    try:
        REQUESTS[message.method].decode_params(message.params)
    except InvalidParamsError:
        return False
    return True


def _is_array_for_an_object(value: Any, good: Any) -> bool:
    """The reference reads an array as the members of any object; we do so for params only."""
    if isinstance(good, dict) and isinstance(value, list):
        return True
    if isinstance(good, dict) and isinstance(value, dict):
        return any(_is_array_for_an_object(value[k], good[k]) for k in good.keys() & value.keys())
    if isinstance(good, list) and isinstance(value, list) and len(good) == len(value):
        return any(map(_is_array_for_an_object, value, good))
    return False


def _is_number_of_an_arm(value: Any, good: Any) -> bool:
    """It takes a number for the name of an arm in the same place of its list of arms."""
    if isinstance(good, dict) and isinstance(value, dict):
        return any(
            (key in ("type", "kind") and type(value[key]) is int)
            or _is_number_of_an_arm(value[key], good[key])
            for key in good.keys() & value.keys()
        )
    if isinstance(good, list) and isinstance(value, list) and len(good) == len(value):
        return any(map(_is_number_of_an_arm, value, good))
    return False


def _known_to_both() -> dict[str, list[Any]]:
    """Return good params of the methods that are no extensions, without members that are."""
    found = {}
    for method, goods in GOOD_PARAMS.items():
        row = REQUESTS[method]
        fields = row.params.model_fields.items()
        ours = {field.alias or name for name, field in fields if field.exclude_if is not None}
        if row.capability not in EXTENSIONS:
            found[method] = [good for good in goods if ours.isdisjoint(good)]
    return found


@pytest.mark.parametrize("method", sorted(_known_to_both()))
def test_params_are_understood_by_both_or_by_neither(reference: ServerProcess, method: str) -> None:
    cases = {}
    goods = _known_to_both()[method]
    for good in goods:
        for mutant in (good, *mutants(good)):
            params = text_of(mutant)
            cases[f'{{"id":1,"method":{json.dumps(method)},"params":{params}}}'] = good
    with connect(reference.url, compression=None, proxy=None) as connection:
        errors = list(_answers(connection, list(cases)))
    assert sum(error["code"] != INVALID_PARAMS for error in errors) >= len(goods)
    for (text, good), error in zip(cases.items(), errors, strict=True):
        theirs = error["code"] != INVALID_PARAMS
        if theirs != _understood(text):
            params = json.loads(text)["params"]
            if isinstance(params, list):
                continue  # it wants all members of an array, we take what is left out as absent
            assert theirs, text  # what it refuses, we refuse
            assert _is_array_for_an_object(params, good) or _is_number_of_an_arm(params, good), text


@pytest.mark.parametrize("method", sorted(GOOD_PARAMS))
def test_params_by_position_are_in_the_same_order(reference: ServerProcess, method: str) -> None:
    """A value of every kind in every position, the others being right: the same are refused."""
    fields = REQUESTS[method].params.model_fields.items()
    # Extensions are the members that are left out of the JSON when unset.
    names = [field.alias or name for name, field in fields if field.exclude_if is None]
    known = [GOOD_PARAMS[method][0].get(name) for name in names]
    texts = []
    for index, name in enumerate(names):
        for value in _KINDS:
            if (name, value) == ("networkProxy", {}):
                continue  # what is in it we do not look at: we refuse it as a whole
            params = json.dumps([*known[:index], value, *known[index + 1 :]])
            texts.append(f'{{"id":1,"method":{json.dumps(method)},"params":{params}}}')
    with connect(reference.url, compression=None, proxy=None) as connection:
        errors = list(_answers(connection, texts))
    for text, error in zip(texts, errors, strict=True):
        theirs = error["code"] != INVALID_PARAMS
        if theirs != _understood(text):
            assert theirs, text
            params = json.loads(text)["params"]
            pairs = zip(params, known, strict=True)
            assert any(
                item == [] and (good is None or isinstance(good, dict)) for item, good in pairs
            )


def test_the_registry_is_what_the_reference_knows(
    reference: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its methods, the members that each requires, in their order, and how many there are."""
    assert schema.main(["compare"]) == 0
    assert "0 differences" in capsys.readouterr().out


# --------------------------------------------------------------------------- envelopes

_ENVELOPES = [
    *('{"id":1}', "{}", "[]", "5", "{", "", " ", "{bad", '{"id":1,"method":5}', '\ufeff{"id":1}'),
    *('{"id":null,"method":"x"}', '{"id":1.0,"method":"x"}', '{"id":true,"method":"x"}'),
    *('{"id":9223372036854775808,"method":"x"}', '{"id":1e2,"method":"x"}'),
    *('{"id":1,"id":1,"method":"x"}', '{"id":1,"method":"x","params":{"a":[{"b":1,"b":1}]}}'),
    *('{"id":1,"method":"x","trace":5}', '{"id":1,"method":"x","trace":{"traceparent":5}}'),
    *('{"id":1,"method":"\\ud800"}', '{"id":1,"method":"x"} x', '{"id":1,"method":"x","y":NaN}'),
    *('{"error":{"code":1.5,"message":"m"},"id":1}', '{"error":{"code":1},"id":1}', '{"result":1}'),
    '{"id":1,"method":"x","y":' + "[" * 127 + "]" * 127 + "}",
    '{"id":1,"method":"x","y":[' + ",".join(["1"] * 262_141) + "]}",
]
_FINE = [
    *('{"id":1,"method":"x"}', '{"id":"","method":"x"}', '{"id":-0,"method":"x","trace":{}}'),
    *('{"jsonrpc":5,"id":1,"method":"x","result":2}', ' {"id":1,"method":"x","y":1e999}\n'),
    *('{"id":1,"method":"x","trace":{"traceparent":"p","tracestate":null,"y":1}}',),
    '{"id":1,"method":"x","y":' + "9" * 6000 + "}",
    '{"id":1,"method":"x","y":' + "[" * 126 + "]" * 126 + "}",
    '{"id":1,"method":"x","y":[' + ",".join(["1"] * 262_140) + "]}",
]


def test_the_same_texts_are_no_messages(reference: ServerProcess) -> None:
    with connect(reference.url, compression=None, proxy=None) as connection:
        for text in (*_ENVELOPES, *_FINE):
            connection.send(text)
            answer = json.loads(connection.recv(_WAIT_SECONDS))
            assert (answer["id"] == -1) == (text in _ENVELOPES), text[:80]
            try:
                malformed = not decode(text)
            except MalformedMessageError:
                malformed = True
            assert malformed == (text in _ENVELOPES), text[:80]


# --------------------------------------------------------------------------- path URIs

_STARTS = [
    *("file:///", "file:///", "file:/", "file:", "FILE:///", "file://h/", "File://h/", "file:////"),
    *("file:\\\\\\", " file:///", "file:///C:/", "file:///c|/", "file://localhost/", "fi\tle:///"),
    *("file://C:/", "file://c|/", "http://h/", "", "/", "file"),
]
_PIECES = [
    *("a", "b", "srv", ".", "..", "%2e", "%2E", "%2e%2e", ".%2E", "/", "/", "/", "\\", "//"),
    *(" ", "\t", "\n", "\r", "%zz", "%", "%4", "%41", "%2f", "%2F", "é", "\u0301", "😀", "|", ":"),
    *(
        "C:",
        "c:",
        "C|",
        "c|",
        "c%3A",
        "C%7C",
        "~",
        "^",
        "`",
        "{",
        "}",
        "<",
        ">",
        '"',
        "'",
        "[",
        "]",
    ),
    *("#", "?", "@", "%00", "\x00", "\x01", "\x7f", "\x1f", "\x80", "localhost", "%5c", "%c3%a9"),
    *("%FF", "%ff", "*", "$", "&", "+", ",", ";", "=", "!", "-", "_", "\u200d", "\ufeff", "\xa0"),
]
_FOREIGN = "' is invalid on 'linux'"


def _theirs(error: Any) -> tuple[str, str]:
    """Return what they make of a path: understood, foreign with its text, or refused."""
    if error is not None and error["code"] == INVALID_PARAMS:
        return "refused", ""
    text = "" if error is None else error["message"]
    return ("foreign", text[1 : -len(_FOREIGN)]) if text.endswith(_FOREIGN) else ("native", "")


def _ours(text: str) -> tuple[str, str]:
    try:
        uri = PathUri.parse(text)
    except InvalidPathError:
        return "refused", ""
    try:
        uri.to_native()
    except InvalidPathError:
        return "foreign", str(uri)
    return "native", ""


_DRIVE_AND_BLANK = re.compile(r"[A-Za-z][:|][\t\n\r]")
"""Blanks mean nothing in a URL, but it takes one behind a drive for the end of the segment."""
_HOST_AND_DRIVE = re.compile(r"file://h[/\\\t\n\r]+[A-Za-z][:|]", re.IGNORECASE)
"""A drive behind a host and slashes: its text means another path when it is parsed again."""


@pytest.mark.parametrize("seed", range(4))
def test_path_uris_are_read_alike(reference: ServerProcess, seed: int) -> None:
    """With a host the canonical text shows, as no path with a host belongs to this system."""
    chance = random.Random(seed)
    texts = [
        chance.choice(_STARTS) + "".join(chance.choices(_PIECES, k=chance.randrange(9)))
        for _ in range(2500)
    ]
    requests = [
        json.dumps({"id": 1, "method": "fs/getMetadata", "params": {"path": text}})
        for text in texts
    ]
    with connect(reference.url, compression=None, proxy=None) as connection:
        connection.send('{"id":1,"method":"initialize","params":{"clientName":"tests"}}')
        connection.recv(_WAIT_SECONDS)
        connection.send('{"method":"initialized"}')
        errors = list(_answers(connection, requests))
    outcomes = {"refused": 0, "foreign": 0, "native": 0}
    for text, error in zip(texts, errors, strict=True):
        theirs, ours = _theirs(error), _ours(text)
        outcomes[theirs[0]] += 1
        if theirs != ours:
            known = _DRIVE_AND_BLANK.search(text) or _HOST_AND_DRIVE.match(text)
            assert known, (text, theirs, ours)
    assert min(outcomes.values()) > 200
