"""One turn of the real Codex client, with a scripted model, against a server of our choice.

Run as a program in a network namespace of its own, which has nothing but a loopback device:
the client otherwise looks for its services on the internet. The job comes as JSON on stdin,
the outcome goes to stdout::

    unshare --net python -m exec_testkit.codex_turn < job.json
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any, Final

from .fault_proxy import Cut, FaultProxy, Kind
from .otlp import Collector
from .server import ServerProcess

__all__ = ["Job", "Outcome", "call", "patch", "run_isolated"]

_TURN_SECONDS: Final = 60.0
_SIOCSIFFLAGS: Final = 0x8914
_UP_AND_RUNNING: Final = 0x41
_ATTEMPTS: Final = 300
"""Requests that the model may be sent while it waits for a tool to turn up."""
_MODEL: Final = "gpt-5.5"
"""Of the client's own catalogue: one that gets plain function tools and patches."""

_TRACING: Final = """\
[otel]
environment = "test"
trace_exporter = {{ otlp-http = {{ endpoint = "{0}/v1/traces", protocol = "binary" }} }}
"""

_CONFIG: Final = """\
model = "{model}"
model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
[analytics]
enabled = false
"""


@dataclass
class Job:
    """What the client is to do.

    Attributes:
        codex: Path of the client's program.
        items: What the model answers, one item a request; after the last, a message. An item
            with ``until`` waits until the model has been told something with that text in it.
        arguments: Further arguments of ``codex exec``.
        files: Content by relative path: what lies in the workspace.
        config: Further lines of the client's configuration.
        server: Further arguments of the server.
        cut_when: Path of a file that the commands make: when it appears, the link is cut.
        read_delay: Seconds for which its first request after a resume is held up on its way.
        token: What the client shows to the server; empty for nothing.
        traced: Both export their spans to a collector.
    """

    codex: str
    items: list[dict[str, Any]]
    arguments: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    config: str = ""
    server: list[str] = field(default_factory=list)
    cut_when: str = ""
    read_delay: float = 0.0
    token: str = ""
    traced: bool = False


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        status: Exit status of the client.
        outputs: What the model was told about each call, by call id.
        requests: Text of all that the model was sent.
        files: The workspace afterwards.
        connections: How many times the client connected.
        log: What client and server wrote to stderr.
        spans: Service, name, kind, id and parent of each span, when they were traced.
    """

    status: int
    outputs: dict[str, str]
    requests: str
    files: dict[str, str]
    connections: int
    log: str
    spans: list[list[str]] = field(default_factory=list)


def call(name: str, call_id: str, **arguments: Any) -> dict[str, Any]:
    """Return the model's wish to call a tool.

    ``@WORKSPACE@`` in a text stands for the folder, ``"@SESSION@"`` for the number of the
    last session that the model was told of.
    """
    text = json.dumps(arguments).replace('"@SESSION@"', "@SESSION@")
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": text}


def patch(call_id: str, *lines: str) -> dict[str, Any]:
    """Return the model's wish to patch files."""
    text = "\n".join(["*** Begin Patch", *lines, "*** End Patch", ""])
    return {"type": "custom_tool_call", "call_id": call_id, "name": "apply_patch", "input": text}


def _message() -> dict[str, Any]:
    content = [{"type": "output_text", "text": "finished"}]
    return {"type": "message", "role": "assistant", "content": content}


def run_isolated(job: Job) -> Outcome:
    """Do a job in a network namespace of its own.

    Raises:
        subprocess.CalledProcessError: The namespace or the program failed.
    """
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", "--net", *own, sys.executable, "-m", __name__],
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * _TURN_SECONDS,
        check=True,
    )
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


class _Model:
    """Answers the client's requests to its model from a list."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items: Iterator[dict[str, Any]] = iter(items)
        self.requests: list[dict[str, Any]] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self._answer("application/json", b'{"data":[],"models":[]}')

            def do_POST(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                events = model.respond(json.loads(self.rfile.read(size)))
                self._answer("text/event-stream", events.encode())

            def _answer(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def respond(self, request: dict[str, Any]) -> str:
        number = len(self.requests)
        self.requests.append(request)
        said = json.dumps(request)
        item = next(self._items, _message())
        if item.get("until", "") not in said and number < _ATTEMPTS:
            self._items = chain([item], self._items)
            item = self._waiting(number)
        item = {key: value for key, value in item.items() if key != "until"}
        session = re.findall(r"session ID (\d+)", said)
        if session:
            item = json.loads(json.dumps(item).replace("@SESSION@", session[-1]))
        response: dict[str, Any] = {"id": f"response-{number}"}
        tokens = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 1)
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**response, "usage": tokens}},
        ]
        return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)

    @staticmethod
    def _waiting(number: int) -> dict[str, Any]:
        """Return a wish that passes the time: to look for tools, of which more may turn up."""
        wish = {"type": "tool_search_call", "execution": "client", "call_id": f"wait-{number}"}
        return {**wish, "arguments": {"query": "shout"}}

    def outputs(self) -> dict[str, str]:
        """Return what each call came to, as the model was told."""
        found: dict[str, str] = {}
        for request in self.requests:
            for item in request.get("input", []):
                if str(item.get("type", "")).endswith("call_output"):
                    output = item["output"]
                    text = output if isinstance(output, str) else json.dumps(output)
                    found[item["call_id"]] = text
        return found


def _raise_loopback() -> None:
    with socket.socket() as sock:
        request = struct.pack("16sh14x", b"lo", _UP_AND_RUNNING)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, request)


async def _cut(proxy: FaultProxy, path: Path) -> None:
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.02)
    proxy.cut_all()


def _read_tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


async def _turn(job: Job, home: Path, workspace: Path) -> Outcome:
    for name, text in job.files.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    model = _Model([_placed(item, workspace) for item in job.items])
    collector = Collector() if job.traced else None
    config = _CONFIG.format(model=_MODEL, port=model.port) + job.config
    if collector is not None:
        config += _TRACING.format(collector.endpoint)
    (home / "config.toml").write_text(config.replace("@WORKSPACE@", str(workspace)))
    environ = None if collector is None else collector.environ
    with ServerProcess(*job.server, env=environ) as server:
        async with FaultProxy(server.port, partial(_hold_up, job.read_delay)) as proxy:
            where = {"CODEX_EXEC_SERVER_URL": proxy.url}
            if job.token:
                where = {}
                (home / "environments.toml").write_text(
                    'default = "there"\ninclude_local = false\n'
                    f'[[environments]]\nid = "there"\nurl = "{proxy.url}"\n'
                    f'auth_bearer_token = "{job.token}"\n'
                )
            command = [job.codex, "exec", "--skip-git-repo-check", *job.arguments]
            process = await asyncio.create_subprocess_exec(
                *[*command, "-C", str(workspace), "go"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={
                    **os.environ,
                    "HOME": str(home),
                    "CODEX_HOME": str(home),
                    **where,
                },
            )
            cutter = (
                asyncio.create_task(_cut(proxy, workspace / job.cut_when)) if job.cut_when else None
            )
            try:
                async with asyncio.timeout(_TURN_SECONDS):
                    _, stderr = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                if cutter is not None:
                    cutter.cancel()
                    await asyncio.wait([cutter])
        log = stderr.decode(errors="replace") + server.log()
    spans = [] if collector is None else collector.spans
    if collector is not None:
        collector.close()
    return Outcome(
        process.returncode or 0,
        model.outputs(),
        json.dumps(model.requests),
        _read_tree(workspace),
        proxy.connections,
        log,
        [[span.service, span.name, span.kind, span.span_id, span.parent] for span in spans],
    )


def _hold_up(seconds: float, connection: int) -> Cut | None:
    """Hold up what follows ``initialize`` and ``initialized`` of a resumed connection."""
    return Cut("to-server", 2, Kind.DELAY, seconds) if seconds and connection else None


def _placed(item: dict[str, Any], workspace: Path) -> dict[str, Any]:
    return {
        key: value.replace("@WORKSPACE@", str(workspace)) if isinstance(value, str) else value
        for key, value in item.items()
    }


def main() -> None:
    """Do the job on stdin."""
    job = Job(**json.load(sys.stdin))
    _raise_loopback()
    # Not below /tmp: the client makes no helper programs there, and policies open it.
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    base.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=base, prefix="codex-home-") as home,
        tempfile.TemporaryDirectory(dir=base, prefix="codex-work-") as workspace,
    ):
        outcome = asyncio.run(_turn(job, Path(home), Path(workspace)))
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()
