"""``exec-client`` on an executor that knows nothing beyond the protocol's common ground.

No resize, no closing of stdin, no list, no signal but ``interrupt``: nothing of that may even
be tried, and commands must still be of use.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.server import Server, ServerConnection, serve

pytestmark = pytest.mark.process

WAIT_S = 20.0

INFO = {
    "shell": {"name": "sh", "path": "/bin/sh"},
    "executorVersion": "0",
    "cwd": "file:///srv",
    "platformOs": "linux",
    "capabilities": {},
}


class PlainExecutor:
    """Runs two programs: ``say TEXT``, and ``repeat``, which repeats its input until ``end``."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.starts: list[dict[str, Any]] = []
        self.signals: list[str] = []
        self.started = threading.Event()
        self._server: Server = serve(self._handle, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def _handle(self, connection: ServerConnection) -> None:
        for frame in connection:
            message = json.loads(frame)
            method, params = message["method"], message.get("params") or {}
            self.methods.append(method)
            if "id" not in message:
                continue
            answer, notifications = self._answer(method, params)
            connection.send(json.dumps({"id": message["id"], **answer}))
            for number, (name, extra) in enumerate(notifications, start=self._seq):
                body = {"processId": params["processId"], "seq": number, **extra}
                connection.send(json.dumps({"method": name, "params": body}))
            self._seq += len(notifications)
            if method == "process/start":
                self.started.set()

    def _answer(
        self, method: str, params: dict[str, Any]
    ) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
        if method == "initialize":
            return {"result": {"sessionId": "s", "environmentInfo": INFO}}, []
        if method == "process/start":
            self.starts.append(params)
            self._seq = 1
            if params["argv"][0] == "missing":
                text = "No such file or directory (os error 2)"
                return {"error": {"code": -32603, "message": text}}, []
            result = {"result": {"processId": params["processId"], "sandboxType": "none"}}
            if params["argv"][0] == "say":
                return result, [_output(params["argv"][1].encode()), *_end(0)]
            return result, []
        if method == "process/write":
            data = base64.b64decode(params["chunk"])
            notifications = [_output(data), *(_end(0) if b"end" in data else [])]
            return {"result": {"status": "accepted"}}, notifications
        if method == "process/signal":
            self.signals.append(params["signal"])
            return {"result": {}}, _end(130)
        if method == "process/terminate":
            return {"result": {"running": True}}, _end(137)
        return {"error": {"code": -32601, "message": f"no {method} here"}}, []

    _seq = 1


def _output(data: bytes) -> tuple[str, dict[str, Any]]:
    text = base64.b64encode(data).decode()
    return "process/output", {"stream": "stdout", "chunk": text}


def _end(code: int) -> list[tuple[str, dict[str, Any]]]:
    return [("process/exited", {"exitCode": code}), ("process/closed", {})]


@pytest.fixture
def executor() -> Iterator[PlainExecutor]:
    executor = PlainExecutor()
    yield executor
    executor.close()


def start(executor: PlainExecutor, *words: str, stdin: int) -> subprocess.Popen[bytes]:
    name, *rest = words
    return subprocess.Popen(
        [sys.executable, "-m", "exec_client", name, "--url", executor.url, *rest],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def run(executor: PlainExecutor, *words: str, input: bytes = b"") -> tuple[int, bytes, bytes]:
    stdin = subprocess.PIPE if input else subprocess.DEVNULL
    process = start(executor, *words, stdin=stdin)
    out, err = process.communicate(input or None, timeout=WAIT_S)
    return process.returncode, out, err


def test_a_command_runs_in_the_executors_folder_without_a_stdin(executor: PlainExecutor) -> None:
    assert run(executor, "run", "--", "say", "hello") == (0, b"hello", b"")
    [params] = executor.starts
    assert params["cwd"] == "file:///srv"
    assert params["pipeStdin"] is False
    assert params["envPolicy"]["inherit"] == "core"
    assert not params.keys() & {"rows", "cols"}


def test_a_relative_folder_is_put_behind_the_executors_own(executor: PlainExecutor) -> None:
    run(executor, "run", "--cwd", "a b/c", "--", "say", "x")
    assert executor.starts[0]["cwd"] == "file:///srv/a%20b/c"


def test_a_program_that_is_missing_gives_127(executor: PlainExecutor) -> None:
    code, out, err = run(executor, "run", "--", "missing")
    assert (code, out) == (127, b"")
    assert err == b"exec-client: cannot start missing: No such file or directory (os error 2)\n"


def test_an_empty_input_is_not_connected(executor: PlainExecutor) -> None:
    process = start(executor, "run", "--", "say", "x", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(WAIT_S) == 0
    assert process.stderr is not None
    assert process.stdout is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.stdout.close()
    assert executor.starts[0]["pipeStdin"] is False


def test_an_end_of_input_that_cannot_be_passed_on_is_said_once(executor: PlainExecutor) -> None:
    process = start(executor, "run", "--", "repeat", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stdout is not None
    process.stdin.write(b"text")
    process.stdin.close()
    assert process.stdout.read(4) == b"text"
    assert b"cannot close the command's stdin" in process.stderr.read(1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 130
    assert process.stderr.read() == b""
    process.stderr.close()
    process.stdout.close()
    assert executor.signals == ["interrupt"]
    assert "process/closeStdin" not in executor.methods


def test_an_input_after_whose_end_the_command_ends_needs_no_warning(
    executor: PlainExecutor,
) -> None:
    assert run(executor, "run", "--", "repeat", input=b"to the end") == (0, b"to the end", b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_it_cannot_send_kills_the_command_instead(
    executor: PlainExecutor, number: signal.Signals
) -> None:
    process = start(executor, "run", "--", "repeat", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"ready")
    assert process.stdout.read(5) == b"ready"
    process.send_signal(number)
    assert process.wait(WAIT_S) == 128 + number
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    assert executor.signals == []
    assert "process/terminate" in executor.methods


def test_a_signal_that_means_something_else_is_not_turned_into_a_kill(
    executor: PlainExecutor,
) -> None:
    process = start(executor, "run", "--", "repeat", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"ready")
    assert process.stdout.read(5) == b"ready"
    process.send_signal(signal.SIGUSR1)
    assert b"cannot send SIGUSR1" in process.stderr.read(1000)
    process.stdin.write(b"end")
    assert process.wait(WAIT_S) == 0
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert executor.signals == []


def test_a_terminal_has_the_size_that_the_executor_chooses(executor: PlainExecutor) -> None:
    assert run(executor, "run", "--tty", "--", "say", "x")[0] == 0
    assert executor.starts[0]["tty"] is True
    assert not executor.starts[0].keys() & {"rows", "cols"}


def test_the_end_of_input_for_a_terminal_is_its_end_key(executor: PlainExecutor) -> None:
    code, out, _ = run(executor, "run", "--tty", "--", "repeat", input=b"the end\n")
    assert code == 0
    assert out.startswith(b"the end\n")


def test_ps_is_refused_before_anything_is_sent(executor: PlainExecutor) -> None:
    code, out, err = run(executor, "ps")
    assert (code, out) == (125, b"")
    assert err.startswith(b"exec-client: ")
    assert err.count(b"\n") == 1
    assert executor.methods == ["initialize", "initialized"]


def test_a_command_that_takes_too_long_is_killed(executor: PlainExecutor) -> None:
    code, _, err = run(executor, "run", "--timeout", "0.2", "--", "repeat")
    assert (code, err) == (124, b"exec-client: the command was killed after 0.2 s\n")
