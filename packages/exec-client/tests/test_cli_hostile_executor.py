"""``exec-client`` on an executor that wants the terminal of whoever uses it, or the whole disk.

Every subcommand is run against executors that put escape sequences wherever the protocol has
text. A subcommand without an invocation here fails the first test.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from exec_client.cli import printing
from exec_client.cli.commands import COMMAND_NAMES
from exec_client.cli.printing import json_text, printable
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

pytestmark = pytest.mark.process

WAIT_S: Final = 30.0
MIB: Final = 1024 * 1024

EVIL: Final = "\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e\u2066\x7f\b\nexec-client: all is well\n"
"""A title, an empty screen, a colour by a C1 control, two turns of direction, a forged line."""

BAR: Final = re.compile(r"\x1b\[[0-9;]*m|\x1b\[2K|\x1b\[1A|\x1b\[\?25[lh]|\r")
"""What the progress bar of ``cp`` sends itself. ``EVIL`` has other sequences."""

INVOCATIONS: Final[dict[str, list[list[str]]]] = {
    "run": [["run", "--", "true"]],
    "shell": [["shell"]],
    "cp": [["cp", "-r", ":/x", "HERE/x"], ["cp", "--max-size", "4K", ":/x", "HERE/y"]],
    "ls": [["ls", "/x"], ["ls", "-la", "/x", "/y"], ["ls", "--json", "/x"]],
    "cat": [["cat", "/x"]],
    "http": [["http", "-i", "GET", "http://x/"]],
    "info": [["info"], ["info", "--json"]],
    "ps": [["ps", "--session", "x"], ["ps", "--json", "--session", "x"]],
}
CASES: Final = [words for name in COMMAND_NAMES for words in INVOCATIONS.get(name, [])]


def _info(text: str) -> dict[str, Any]:
    return {
        "shell": {"name": text, "path": f"/bin/{text}"},
        "executorVersion": text,
        "providerId": text,
        "cwd": "file:///x",
        "platformOs": text,
        "capabilities": {text: True, f"no{text}": False, "processList": True},
    }


class HostileExecutor:
    """Answers every request: well formed, with what the tests put into it.

    Args:
        refuses: Answer everything after the handshake with an error.
        answer: Gives the result of a method before the usual one does; ``None`` leaves it.
    """

    def __init__(
        self,
        *,
        refuses: bool = False,
        answer: Callable[[str, dict[str, Any]], dict[str, Any] | None] = lambda *_: None,
    ) -> None:
        self._refuses = refuses
        self._answer = answer
        self.methods: list[str] = []
        self._server: Server = serve(self._handle, "127.0.0.1", 0, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def __enter__(self) -> HostileExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()

    def _handle(self, connection: ServerConnection) -> None:
        try:
            for frame in connection:
                self._receive(connection, json.loads(frame))
        except ConnectionClosed:
            return

    def _receive(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params") or {}
        self.methods.append(method)
        if "id" not in message:
            return
        if method != "initialize" and self._refuses:
            error = {"code": -32600, "message": f"no {method}{EVIL}"}
            connection.send(json.dumps({"id": message["id"], "error": error}))
            return
        result = self._answer(method, params) or self._result(method, params)
        connection.send(json.dumps({"id": message["id"], "result": result}))
        if method == "http/request":
            last = {"requestId": params["requestId"], "seq": 1, "deltaBase64": "", "done": True}
            last["error"] = EVIL
            connection.send(json.dumps({"method": "http/request/bodyDelta", "params": last}))
        if method == "process/start":
            ends = [("process/exited", {"exitCode": 0}), ("process/closed", {})]
            for number, (name, body) in enumerate(ends, start=1):
                body = {"processId": params["processId"], "seq": number, **body}
                connection.send(json.dumps({"method": name, "params": body}))

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                session = params.get("resumeSessionId") or f"s{EVIL}"
                return {"sessionId": session, "environmentInfo": _info(EVIL)}
            case "environment/info":
                return _info(EVIL)
            case "environment/status":
                return {"status": "ready"}
            case "process/list":
                return {"processes": [_process()]}
            case "process/start":
                return {"processId": params["processId"], "sandboxType": "none"}
            case "fs/getMetadata":
                return _metadata(is_directory=params["path"].endswith("/x"))
            case "fs/readDirectory":
                return {"entries": [_entry(f"a{EVIL}"), _entry("b")]}
            case "fs/open":
                return {"handleId": params["handleId"]}
            case "fs/readBlock":
                return {"chunk": "", "eof": True}
            case "fs/canonicalize":
                return {"path": params["path"]}
            case "http/request":
                headers = [{"name": f"x{EVIL}", "value": EVIL}]
                return {"status": 500, "headers": headers, "bodyBase64": ""}
        return {}


def _process() -> dict[str, Any]:
    return {
        "processId": f"p{EVIL}",
        "argv0": EVIL,
        "state": "running",
        "tty": False,
        "exitCode": None,
        "startedAtMs": 2**53,
        "retainedBytes": 1,
        "nextSeq": 1,
    }


def _entry(name: str) -> dict[str, Any]:
    return {"fileName": name, "isDirectory": False, "isFile": True}


def _metadata(*, is_directory: bool) -> dict[str, Any]:
    return {
        "isDirectory": is_directory,
        "isFile": not is_directory,
        "isSymlink": False,
        "size": 3,
        "createdAtMs": 2**53,
        "modifiedAtMs": 2**53,
    }


def _shown(url: str, words: list[str], here: Path) -> str:
    """Return all that a subcommand writes to its terminal."""
    leader, terminal = pty.openpty()
    here.mkdir(exist_ok=True)
    words = [word.replace("HERE", str(here)) for word in words]
    child = subprocess.Popen(
        [sys.executable, "-m", "exec_client", words[0], "--url", url, *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    written = bytearray()
    try:
        while True:
            try:
                piece = os.read(leader, 65_536)
            except OSError:
                break  # nobody has the terminal any more
            if not piece:
                break
            written += piece
        child.wait(WAIT_S)
    finally:
        os.close(leader)
        child.kill()
        child.wait()
    return written.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def test_every_subcommand_is_tried_here() -> None:
    asks_no_executor = {"completion"}
    assert set(INVOCATIONS) == set(COMMAND_NAMES) - asks_no_executor


@pytest.mark.parametrize(
    ("words", "refuses"), list(product(CASES, (False, True))), ids=lambda value: str(value)
)
def test_nothing_that_an_executor_says_acts_on_the_terminal(
    words: list[str], refuses: bool, tmp_path: Path
) -> None:
    with HostileExecutor(refuses=refuses) as executor:
        text = _shown(executor.url, words, tmp_path / "here")
        assert len(executor.methods) > 2, "nothing was asked, so nothing was tried"
    if words[0] == "cp":
        text = BAR.sub("", text)
    acting = [character for character in text if not character.isprintable()]
    assert set(acting) <= {"\n"}, repr(text)
    assert "Traceback" not in text, text
    assert not [line for line in text.splitlines() if line.startswith("exec-client: all is well")]


def test_json_says_the_same_without_a_character_that_acts() -> None:
    value = {"name": f"{EVIL}é\udc9b\U000e0001 \U0001f600\u00a0", "n": [1, None]}
    text = json_text(value)
    assert json.loads(text) == value
    assert set(text) >= {"é", "\U0001f600"}, "what is harmless can be read"
    assert not [c for c in text if not c.isprintable() and c not in "\n\u00a0"]


def test_text_in_any_script_stays_as_it_is() -> None:
    for text in ("naïve café", "日本語\u3000名", "עברית", "a\u00a0b", "😀", "per cent %s"):
        assert printable(text) == text


def test_a_fault_of_the_program_is_told_without_escapes(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from exec_client.cli import info, main

    def fail(_: object) -> int:
        raise KeyError(EVIL[:12] + "\x1b]0;")

    monkeypatch.setattr(info, "execute", fail)
    assert main(["info"]) == 125
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert "\x1b" not in said


CLI_FOLDER: Final = Path(printing.__file__).parent
RAW: Final = {"cat.py", "foreground.py", "http.py"}
"""Pass on what is not ours: files, a command's output, bodies."""


@pytest.mark.parametrize("path", sorted(CLI_FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_module_of_the_program_writes_past_the_filter(path: Path) -> None:
    allowed = {
        "printing.py": {"buffer"},
        "messages.py": {"write_all"},
        "streams.py": {"os.write"},
        "standard_streams.py": {"__stdout__", "__stderr__", "os.write"},  # underneath the filter
    }
    ways = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ("buffer", "__stdout__", "__stderr__"):
            if ast.unparse(node) != "sys.stdin.buffer":
                ways.add(node.attr)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.write", "os.writev"):
            ways.add("os.write")
        elif isinstance(node, ast.alias) and node.name in (
            "StreamWriter",
            "unfiltered",
            "write_all",
        ):
            ways.add(node.name)
    raw = {"StreamWriter"} if path.name in RAW else set()
    bar = {"unfiltered"} if path.name == "progress.py" else set()
    assert ways <= raw | bar | allowed.get(path.name, set())


# ------------------------------------------------------------------ files without an end


def _endless(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "fs/getMetadata":
        return _metadata(is_directory=False)
    if method == "fs/readBlock":
        return {"chunk": base64.b64encode(bytes(params["len"])).decode(), "eof": False}
    return None


def _cp(url: str, target: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "exec_client", "cp", "--url", url, *options, ":/f", str(target)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )


def test_a_download_without_an_end_stops_at_the_limit_and_leaves_nothing(tmp_path: Path) -> None:
    with HostileExecutor(answer=_endless) as executor:
        done = _cp(executor.url, tmp_path / "f", "--max-size", "8M")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"larger than 8,388,608 bytes" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", ["-1", "x", "4X", "", "1.5G"])
def test_a_limit_that_is_no_size_is_refused(size: str, tmp_path: Path) -> None:
    done = _cp("ws://127.0.0.1:1", tmp_path / "f", f"--max-size={size}")
    assert done.returncode == 125
    assert b"--max-size" in done.stderr


@pytest.mark.parametrize(
    "block",
    [
        {"chunk": "", "eof": False},
        {"chunk": "AAAA", "eof": False},
        {"chunk": base64.b64encode(bytes(2 * MIB)).decode(), "eof": False},
        {"chunk": base64.b64encode(bytes(2 * MIB)).decode(), "eof": True},
    ],
    ids=["empty", "short", "long", "long-end"],
)
def test_a_block_of_a_length_that_it_cannot_have_ends_the_download(
    block: dict[str, Any], tmp_path: Path
) -> None:
    def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        return block if method == "fs/readBlock" else _endless(method, params)

    with HostileExecutor(answer=answer) as executor:
        done = _cp(executor.url, tmp_path / "f")
    assert done.returncode == 125
    assert b"another length" in done.stderr
