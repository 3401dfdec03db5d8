"""The real server, on pipes and on a WebSocket: its handshake, ids, payloads, and one turn.

Its home is a folder of its own, its proxies lead nowhere, and its model is a script here.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from app_server_protocol import (
    MAX_INTEGER_ID,
    UNSET,
    Capabilities,
    ClientInfo,
    ErrorResponse,
    InitializeParams,
    InitializeResponse,
    Message,
    Notification,
    Request,
    RequestId,
    Response,
    decode,
    decode_lenient,
    encode,
    outbound,
    registry,
    types,
)
from app_server_protocol._binary import environment
from app_server_protocol._peer import Conversation, Peer
from app_server_protocol.inbound import Inbound, from_server
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

pytestmark = [pytest.mark.process, pytest.mark.slow]
_START_SECONDS = 20.0


class SocketPeer(Conversation):
    """A conversation over one WebSocket connection."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection

    def send_text(self, text: str) -> None:
        self._connection.send(text)

    def _receive_text(self, timeout_seconds: float) -> str:
        text = self._connection.recv(timeout_seconds)
        assert isinstance(text, str)
        return text


@pytest.fixture
def address(codex_bin: Path, tmp_path: Path) -> Iterator[str]:
    """Start a server that listens on a free port of the loopback device."""
    home = tmp_path / "home"
    home.mkdir()
    child = subprocess.Popen(
        [codex_bin, "app-server", "--listen", "ws://127.0.0.1:0"],
        env=environment(home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,  # what npm installs is a launcher with the server as its child
    )
    assert child.stderr is not None
    guard = threading.Timer(_START_SECONDS, os.killpg, (child.pid, signal.SIGKILL))
    guard.start()
    found = None
    while found is None and (line := child.stderr.readline()):
        found = re.search(rb"listening on: ws://(\S+)", line)
    guard.cancel()
    drain = threading.Thread(target=child.stderr.read, daemon=True)
    drain.start()
    try:
        assert found is not None, "the server did not start"
        yield found[1].decode()
    finally:
        guard.cancel()
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        drain.join()
        child.stderr.close()


@contextlib.contextmanager
def _connection(address: str) -> Iterator[SocketPeer]:
    with connect(f"ws://{address}", proxy=None, max_size=None) as connection:
        yield SocketPeer(connection)


def _raw(peer: Conversation, text: str, request_id: RequestId) -> Response | ErrorResponse:
    peer.send_text(text)
    return peer.reply_to(request_id)


def _error(reply: Message) -> str:
    assert isinstance(reply, ErrorResponse)
    assert reply.error.code == -32600
    return reply.error.message


def _check_handshake(peer: Conversation) -> None:
    """What comes before ``initialize``, bad ones, a good one, a second one."""
    assert _error(peer.call("thread/loaded/list", {})) == "Not initialized"
    assert "missing field `version`" in _error(
        peer.call("initialize", {"clientInfo": {"name": "x"}})
    )
    info = ClientInfo("app_server_protocol_tests", "1", title=None)
    params = InitializeParams(info, Capabilities(opt_out_notification_methods=["no/such"]))
    request = params.request("first")
    peer.send(request)
    reply = peer.reply_to(request.id)
    assert isinstance(reply, Response)
    server = InitializeResponse.from_wire(reply.result)
    assert server.to_wire() == reply.result
    assert server.server_version == registry.WIRE_REVISION
    assert server.platform_os == "linux"
    peer.send_text('{"method":"initialized"}')
    assert _error(peer.call("initialize", params.to_wire())) == "Already initialized"
    assert "missing field `version`" in _error(
        peer.call("initialize", {"clientInfo": {"name": "x"}})
    )


def _check_ids(peer: Conversation) -> None:
    """Usable ids come back; an unusable one makes a notification of a request."""
    call = '"method":"thread/loaded/list","params":{}'
    for request_id in ("", "a\u00e9", 0, -5, MAX_INTEGER_ID, -MAX_INTEGER_ID - 1):
        text = f'{{"id":{json.dumps(request_id)},{call}}}'
        assert isinstance(_raw(peer, text, request_id), Response)
    assert isinstance(_raw(peer, f'{{"jsonrpc":"2.0","id":1,"x":2,{call}}}', 1), Response)
    assert isinstance(_raw(peer, f'{{"id":2,"trace":null,{call}}}', 2), Response)
    seen = len(peer.texts)
    for part in (
        *('"id":true,', '"id":1.5,', f'"id":{2**63},', '"id":null,', '"id":[],'),
        '"id":7,"trace":{"traceparent":5},',
    ):
        peer.send_text(f"{{{part}{call}}}")
    for text in ("not json", "[]", '{"foo":1}'):
        peer.send_text(text)
    assert isinstance(peer.call("thread/loaded/list", {}), Response)  # still there
    answers = [decode(text) for text in peer.texts[seen:]]
    assert sum(not isinstance(message, Notification) for message in answers) == 1
    assert "`thread/start`" in _error(peer.call("nope/method", {}))
    assert "invalid length 0" in _error(peer.call("fs/copy", []))
    assert "missing field `params`" in _error(_raw(peer, '{"id":3,"method":"thread/list"}', 3))


def _check_lenient_decoding(peer: Conversation) -> None:
    """A text is answered exactly if the lenient decoder takes it for a request."""
    call = '"id":"odd","method":"thread/loaded/list","params":{}'
    array = '"odd","thread/loaded/list",{}'
    deep = "[" * 125 + "]" * 125
    texts = [
        *(f'{{{call},"{name}":null}}' for name in ("id", "params", "trace", "result", "newer")),
        *(f'{{{call},"trace":{trace}}}' for trace in ("5", "[]", '["p"]', '["p","s",1]', "[5]")),
        *(f'{{{call},"trace":{{"{key}":"p","{key}":"p"}}}}' for key in ("traceparent", "x")),
        *(f"[{array}{rest}]" for rest in ("", ",null", ',["p","s"]', ",null,5", ",5")),
        *(f"{{{call[:-1]}{key}}}}}" for key in ('"x":1e999', f'"x":{"9" * 6000}', '"x":NaN')),
        *(f"{{{call[:-1]}{key}}}}}" for key in ('"x":1,"x":2', '"x":"\\ud800"')),
        *(f'{{{call[:-1]}"x":{value}}}}}' for value in (deep, f"[{deep}]")),
        *(f"\ufeff{{{call}}}", f"{{{call}}} x", f" {{{call} }} "),
    ]
    numbered = [text.replace('"odd"', f'"odd {number}"') for number, text in enumerate(texts)]
    for text in numbered:
        peer.send_text(text)
    taken = [decode_lenient(text) for text in numbered]
    expected = {message.id for message in taken if isinstance(message, Request)}
    missing = set(expected)
    while missing:  # requests are answered in any order
        message = peer.receive()
        if isinstance(message, Response | ErrorResponse):
            missing.discard(message.id)
    for _ in range(3):
        peer.call("thread/loaded/list", {})
    replies = [from_server(text).message for text in peer.texts]
    answered = {reply.id for reply in replies if isinstance(reply, Response | ErrorResponse)}
    assert {number for number in answered if str(number).startswith("odd")} == expected
    assert 0 < len(expected) < len(texts)


class Typed:
    """Checked requests, and replies that must be exactly of the method's type."""

    def __init__(self, peer: Conversation) -> None:
        self._peer = peer
        self._number = 100

    def call(self, method: str, params: Any = UNSET) -> Any:
        self._number += 1
        self._peer.send(outbound.request(self._number, method, params, experimental_api=True))
        reply = self._peer.reply_to(self._number)
        view = from_server(encode(reply), lambda _id: method)
        assert view.kind == "response", reply
        assert view.novelties() == ()
        return view.payload


def _check_payloads(peer: Conversation, folder: Path) -> None:
    """Files, configuration and threads."""
    typed, file = Typed(peer), str(folder / "a.txt")
    data = base64.b64encode(b"hello").decode()
    typed.call("fs/createDirectory", {"path": str(folder / "d"), "recursive": False})
    typed.call("fs/writeFile", {"path": file, "dataBase64": data})
    assert typed.call("fs/readFile", {"path": file}) == {"dataBase64": data}
    assert typed.call("fs/getMetadata", {"path": file})["isFile"]
    typed.call("fs/copy", {"sourcePath": file, "destinationPath": file + "2"})
    entries = typed.call("fs/readDirectory", {"path": str(folder)})["entries"]
    assert {entry["fileName"] for entry in entries} >= {"a.txt", "a.txt2", "d"}
    typed.call("fs/remove", {"path": file + "2"})
    assert "AbsolutePathBuf" in _error(peer.call("fs/readFile", {"path": f"file://{file}"}))
    missing = peer.call("fs/readFile", {"path": file + "2"})
    assert isinstance(missing, ErrorResponse)
    assert missing.error.code == -32603

    write = {"keyPath": "model_reasoning_effort", "value": "low", "mergeStrategy": "replace"}
    assert typed.call("config/value/write", write)["status"] == "ok"
    assert typed.call("config/read", {})["config"]["model_reasoning_effort"] == "low"
    refused = peer.call("config/value/write", {**write, "keyPath": "sandbox_mode"})
    assert isinstance(refused, ErrorResponse)
    assert refused.error.data == {"config_write_error_code": "configValidationError"}

    started = typed.call("thread/start", {"cwd": str(folder), "sandbox": "read-only"})
    thread_id = started["thread"]["id"]
    typed.call("thread/name/set", {"threadId": thread_id, "name": "example"})
    assert typed.call("thread/loaded/list", {})["data"] == [thread_id]
    assert typed.call("thread/read", {"threadId": thread_id})["thread"]["id"] == thread_id


def _check_everything_that_came(peer: Conversation) -> None:
    """Each line has the same bytes again; no notification is new, or newer than its type."""
    for text in peer.texts:
        message = decode(text)
        assert encode(message) == text
        view = from_server(text)
        assert view.kind in ("response", "error") or view.is_known
        if isinstance(message, Notification):
            assert type(message.emitted_at_ms) is int
            assert view.novelties() == ()


def test_on_pipes(codex_bin: Path, tmp_path: Path) -> None:
    with Peer(codex_bin) as peer:
        _check_handshake(peer)
        _check_ids(peer)
        _check_lenient_decoding(peer)
        _check_everything_that_came(peer)
    with Peer(codex_bin) as peer:
        peer.initialize(experimental=True)
        _check_payloads(peer, tmp_path)
        _check_everything_that_came(peer)


def test_on_a_websocket(address: str, tmp_path: Path) -> None:
    with _connection(address) as peer:
        _check_handshake(peer)
        _check_ids(peer)
        _check_lenient_decoding(peer)
        # Another connection is not initialised by that.
        with _connection(address) as other:
            assert _error(other.call("thread/loaded/list", {})) == "Not initialized"
            other.initialize(experimental=True)
            _check_payloads(other, tmp_path)
            _check_everything_that_came(other)
        assert isinstance(peer.call("thread/loaded/list", {}), Response)
        _check_everything_that_came(peer)


def test_before_the_websocket(address: str) -> None:
    def status(path: str, **headers: str) -> int:
        connection = http.client.HTTPConnection(address, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status

    foreign = Origin("http://example.com")
    for path in ("/readyz", "/healthz"):
        assert status(path) == 200
        assert status(path, Origin=foreign) == 403
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(f"ws://{address}", proxy=None, origin=foreign),
    ):
        pass
    assert caught.value.response.status_code == 403


# --------------------------------------------------------------------------- a turn

_COMMAND = "echo asked-for"
_CALL = {
    "type": "function_call",
    "call_id": "call-1",
    "name": "shell_command",
    "arguments": json.dumps({"command": _COMMAND, "workdir": "."}),
}
_MESSAGE = {
    "type": "message",
    "role": "assistant",
    "id": "message-1",
    "content": [{"type": "output_text", "text": "finished"}],
}


class Model(BaseHTTPRequestHandler):
    """Wants one command to be run, and then has finished."""

    requests: ClassVar[list[Any]] = []

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("application/json", '{"data":[],"models":[]}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append(body)
        names = {tool.get("name") for tool in body.get("tools", ())}
        called = any(item.get("type") == "function_call_output" for item in body["input"])
        item = _MESSAGE if called else _asking(names)
        tokens = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 1)
        events: list[Any] = [
            {"type": "response.created", "response": {"id": "response"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"id": "response", "usage": tokens}},
        ]
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self._answer("text/event-stream", "".join(lines))

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _asking(names: set[Any]) -> Any:
    if "exec_command" in names:
        arguments = json.dumps({"cmd": _COMMAND})
        return {**_CALL, "name": "exec_command", "arguments": arguments}
    return _CALL


@pytest.fixture
def model_port() -> Iterator[int]:
    Model.requests.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _home(folder: Path, port: int) -> Path:
    home = folder / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        'model = "gpt-5.4"\nmodel_provider = "scripted"\n'
        '[model_providers.scripted]\nname = "scripted"\n'
        f'base_url = "http://127.0.0.1:{port}/v1"\nwire_api = "responses"\n',
        encoding="utf-8",
    )
    return home


def _turn(peer: Conversation, thread_id: str, decision: str) -> Sequence[Inbound]:
    """Run a turn, answer what the server asks, and return all that came."""
    params: types.TurnStartParams = {
        "threadId": thread_id,
        "input": [{"type": "text", "text": "go", "text_elements": []}],
        "approvalPolicy": "untrusted",
    }
    peer.send(outbound.request("turn", "turn/start", params))
    seen = len(peer.texts)
    while True:
        message = peer.receive()
        if isinstance(message, Request):
            view = from_server(peer.texts[-1])
            assert view.novelties() == ()
            if view.method != "item/commandExecution/requestApproval":
                peer.send(view.refusal())
                continue
            asked = view.payload_as(types.CommandExecutionRequestApprovalParams)
            assert "accept" in (asked.get("availableDecisions") or ())
            peer.send(Response(message.id, {"decision": decision}))
        if isinstance(message, Notification) and message.method == "turn/completed":
            return [from_server(text) for text in peer.texts[seen:]]


def test_a_turn_with_a_declined_approval(codex_bin: Path, tmp_path: Path, model_port: int) -> None:
    with Peer(codex_bin, home=_home(tmp_path, model_port)) as peer:
        peer.initialize(experimental=True)
        typed = Typed(peer)
        started = typed.call("thread/start", {"cwd": str(tmp_path), "sandbox": "read-only"})
        seen = _turn(peer, started["thread"]["id"], "decline")
        _check_everything_that_came(peer)
    methods = [view.method for view in seen]
    assert methods.index("turn/started") < methods.index("turn/completed")
    assert "item/commandExecution/requestApproval" in methods
    items = [
        view.payload_as(types.ItemCompletedNotification)["item"]
        for view in seen
        if view.method == "item/completed"
    ]
    commands = [item for item in items if item["type"] == "commandExecution"]
    assert [item["status"] for item in commands] == ["declined"]
    assert commands[0]["aggregatedOutput"] is None
    assert any(item["type"] == "agentMessage" and item["text"] == "finished" for item in items)
    resolved = [view.payload for view in seen if view.method == "serverRequest/resolved"]
    assert resolved[0]["threadId"] == started["thread"]["id"]
    outputs = [
        item for item in Model.requests[-1]["input"] if item["type"] == "function_call_output"
    ]
    assert "asked-for\n" not in json.dumps(outputs)
