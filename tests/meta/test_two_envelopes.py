"""One corpus, two envelopes: what each package makes of it, and why where they differ.

The packages share no code, so that each can follow its own wire. Here is where they could
drift apart unnoticed. A case says what both make of a text; where they do not agree, it says
what each of them does and gives the reason, which is a fact of the one or the other wire.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import app_server_protocol.errors
import app_server_protocol.rpc
import exec_server_protocol.errors
import exec_server_protocol.rpc
import pytest

MALFORMED = "malformed"


@dataclass(frozen=True)
class Case:
    """A text, and what becomes of it.

    Attributes:
        text: What arrives.
        outcome: What both make of it, or the app-server's package alone.
        other: What the exec-server's package makes of it, if that is different.
        because: Why it is different.
    """

    text: str
    outcome: Any
    other: Any = None
    because: str = ""


def _request(id_: Any = 1, method: str = "m", **members: Any) -> dict[str, Any]:
    return {"kind": "Request", "id": id_, "method": method, **members}


def _notification(method: str = "m", **members: Any) -> dict[str, Any]:
    return {"kind": "Notification", "method": method, **members}


def _response(result: Any, id_: Any = 1) -> dict[str, Any]:
    return {"kind": "Response", "id": id_, "result": result}


def _error(code: int = 1, message: str = "x", **data: Any) -> dict[str, Any]:
    return {"kind": "ErrorResponse", "id": 1, "error": {"code": code, "message": message, **data}}


def _nested(levels: int) -> str:
    return '{"id":1,"method":"m","params":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


_MANY = '{"id":1,"method":"m","params":[' + ",".join(["1"] * 262_144) + "]}"

SAME = [
    # requests
    Case('{"id":1,"method":"m"}', _request()),
    Case('{"id":"","method":"m","params":{}}', _request("", params={})),
    Case('{"id":-5,"method":"m","params":[1]}', _request(-5, params=[1])),
    Case(f'{{"id":{2**63 - 1},"method":"m"}}', _request(2**63 - 1)),
    Case(f'{{"id":{-(2**63)},"method":"m"}}', _request(-(2**63))),
    Case('{"jsonrpc":"2.0","id":1,"method":"m","newer":[1]}', _request()),
    Case(' \r\n\t{"method":"m","id":1} ', _request()),
    Case('{"id":1,"method":"m","result":1,"error":2}', _request()),
    Case('{"id":1,"method":"m","params":"\\u00e9\\ud83d\\ude00"}', _request(params="é😀")),
    Case('{"id":1,"method":"m","trace":{"traceparent":"p"}}', _request(trace={"traceparent": "p"})),
    Case(_nested(127), None),
    # notifications
    Case('{"method":"m"}', _notification()),
    Case('{"method":"m","params":{"a":1}}', _notification(params={"a": 1})),
    # responses
    Case('{"id":1,"result":{}}', _response({})),
    Case('{"id":"a","result":null}', _response(None, "a")),
    Case('{"id":1,"result":1,"error":{"code":1,"message":"x"}}', _response(1)),
    # errors
    Case('{"id":1,"error":{"code":1,"message":"x"}}', _error()),
    Case(
        '{"error":{"code":-32600,"data":[1],"message":"é"},"id":1}', _error(-32600, "é", data=[1])
    ),
    # malformed
    *(
        Case(text, MALFORMED)
        for text in (
            *(
                "",
                " ",
                "{",
                "not json",
                "{'id':1}",
                '{"id":1,"method":"m",}',
                '\ufeff{"method":"m"}',
            ),
            *("[]", "5", "null", '"s"', "{}", '{"id":1}', '{"foo":1}', '[{"method":"m"}]'),
            *('{"id":1,"method":"m"} x', '{"id":1,"method":"m"}{}', '{"method":"a\nb"}'),
            *('{"id":null,"method":"m"}', '{"id":true,"method":"m"}', '{"id":1.0,"method":"m"}'),
            *('{"id":1e2,"method":"m"}', '{"id":[],"method":"m"}', '{"id":{},"result":1}'),
            *(f'{{"id":{2**63},"method":"m"}}', f'{{"id":{-(2**63) - 1},"result":1}}'),
            *('{"id":' + "9" * 6000 + ',"method":"m"}', '{"id":1,"method":"m","x":NaN}'),
            *('{"id":1,"method":5}', '{"method":null}', '{"id":1,"method":"\\ud800"}'),
            '{"id":1,"method":"m","trace":5}',
            '{"id":1,"method":"m","trace":{"traceparent":5}}',
            *('{"result":1}', '{"id":1,"error":5}', '{"id":1,"error":{"code":1}}'),
            *('{"id":1,"error":{"code":1.5,"message":"x"}}', '{"error":{"code":1,"message":"x"}}'),
            *("[" * 200_000, '{"a":' * 200_000),
        )
    ),
]

_KEEPS = "a proxy of the app-server's wire passes on what it does not know"
_APART = "absent is not null on the app-server's wire: one clears, the other leaves alone"
_ONCE = (
    "the exec-server answers a member that comes twice as malformed; the app-server's own decoder "
    "takes the last where it does not drop the text, and no client of it sends one"
)
_BOUNDED = "the exec-server has a limit; the app-server has none, and the caller bounds the size"

DIFFERENT = [
    Case('{"id":1,"method":"m","params":null}', _request(params=None), _request(), _APART),
    Case('{"method":"m","params":null}', _notification(params=None), _notification(), _APART),
    Case('{"id":1,"method":"m","trace":null}', _request(trace=None), _request(), _APART),
    Case(
        '{"id":1,"method":"m","trace":[]}',
        "malformed",
        _request(trace={}),
        "the exec-server's wire has the members of a trace as an array too",
    ),
    Case(
        '{"id":1,"method":"m","trace":{"traceparent":"p","tracestate":null}}',
        _request(trace={"traceparent": "p", "tracestate": None}),
        _request(trace={"traceparent": "p"}),
        _APART,
    ),
    Case(
        '{"id":1,"error":{"code":1,"message":"x","data":null}}', _error(data=None), _error(), _APART
    ),
    Case(
        '{"method":"m","emittedAtMs":5}',
        _notification(emitted_at_ms=5),
        _notification(),
        "the app-server says when it sent a notification",
    ),
    Case('{"method":"m","newer":1}', _notification(extra={"newer": 1}), _notification(), _KEEPS),
    Case('{"method":"m","result":1}', _notification(extra={"result": 1}), _notification(), _KEEPS),
    Case(
        '{"id":1,"error":{"code":1,"message":"x","newer":2}}',
        _error(extra={"newer": 2}),
        _error(),
        _KEEPS,
    ),
    Case(
        '{"method":"m","trace":{"traceparent":"p"}}',
        _notification(extra={"trace": {"traceparent": "p"}}),
        _notification(trace={"traceparent": "p"}),
        "a notification has a trace on the exec-server's wire only",
    ),
    Case(
        '{"method":"m","trace":5}',
        _notification(extra={"trace": 5}),
        _notification(),
        "and there a bad one is dropped, as nobody could be answered",
    ),
    Case('{"id":1,"id":2,"method":"m"}', _request(2), MALFORMED, _ONCE),
    Case('{"id":1,"method":"m","x":1,"x":2}', _request(), MALFORMED, _ONCE),
    Case(
        '{"id":1,"method":"m","params":{"a":1,"a":2}}', _request(params={"a": 2}), MALFORMED, _ONCE
    ),
    Case(_nested(128), None, MALFORMED, _BOUNDED),
    Case(_MANY, None, MALFORMED, _BOUNDED),
]


def _plain(value: Any) -> Any:
    """Return a message as plain values: set members only, without what only encoding needs."""
    if not hasattr(value, "__dataclass_fields__"):
        return value
    members = {
        name: _plain(getattr(value, name))
        for name in value.__dataclass_fields__
        if name != "member_order"
    }
    unset = app_server_protocol.rpc.UNSET
    return {
        name: item
        for name, item in members.items()
        if item is not unset and not (name == "extra" and not item)
    }


def _app(text: str | bytes) -> Any:
    try:
        message = app_server_protocol.rpc.decode(text)
    except app_server_protocol.errors.MalformedMessageError:
        return MALFORMED
    return {"kind": type(message).__name__, **_plain(message)}


def _exec(text: str | bytes) -> Any:
    try:
        message = exec_server_protocol.rpc.decode(text)
    except exec_server_protocol.errors.MalformedMessageError:
        return MALFORMED
    plain = _plain(message)
    # To this one absent and null are the same, and ``None`` stands for both.
    optional = {name: item for name, item in plain.items() if name in ("params", "trace")}
    for name, item in optional.items():
        if item is None:
            del plain[name]
        elif name == "trace":
            plain[name] = {key: text for key, text in item.items() if text is not None}
    if "error" in plain and plain["error"]["data"] is None:
        del plain["error"]["data"]
    return {"kind": type(message).__name__, **plain}


def _fits(found: Any, expected: Any) -> bool:
    """``None`` stands for a request whose payload is too long to be written down here."""
    return found["kind"] == "Request" if expected is None else bool(found == expected)


@pytest.mark.parametrize("case", SAME, ids=lambda case: repr(case.text[:60]))
def test_both_envelopes_agree(case: Case) -> None:
    for text in (case.text, case.text.encode()):
        assert _fits(_app(text), case.outcome)
        assert _fits(_exec(text), case.outcome)


@pytest.mark.parametrize("case", DIFFERENT, ids=lambda case: repr(case.text[:60]))
def test_the_envelopes_differ_for_a_reason(case: Case) -> None:
    assert case.because
    for text in (case.text, case.text.encode()):
        assert _fits(_app(text), case.outcome)
        assert _fits(_exec(text), case.other)
        assert _app(text) != _exec(text)


def test_text_that_is_no_utf_8_is_malformed_to_both() -> None:
    assert _app(b'{"method":"\xff"}') == _exec(b'{"method":"\xff"}') == MALFORMED


def test_the_public_names_differ_as_the_wires_do() -> None:
    """What only one of them has is the difference between two wires, or between two habits."""
    app, other = set(app_server_protocol.rpc.__all__), set(exec_server_protocol.rpc.__all__)
    assert app & other == {
        *("ErrorData", "ErrorResponse", "Message", "Notification", "Request", "RequestId"),
        *("Response", "Trace", "decode"),
    }


@pytest.mark.process
@pytest.mark.parametrize(
    ("loaded", "absent"),
    [
        ("exec_server_protocol.rpc, exec_server_protocol.process", "app_server_protocol"),
        ("exec_server.cli, exec_server.server", "app_server_protocol"),
        ("exec_client.cli, exec_client.client", "app_server_protocol"),
        ("fs_helper.main", "app_server_protocol"),
        ("app_server_protocol.inbound, app_server_protocol.types", "exec_server_protocol"),
    ],
)
def test_what_one_wire_needs_loads_nothing_of_the_other(loaded: str, absent: str) -> None:
    code = f"import sys, {loaded}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
