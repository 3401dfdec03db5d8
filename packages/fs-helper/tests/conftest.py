"""Ways to ask the operations: in this process, and through a worker on pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.helper import (
    BULK_RESULTS,
    FROM_WORKER,
    Frame,
    FrameDecoder,
    FrameKind,
    Request,
    decode_error,
    decode_ready,
    encode_request,
    encode_request_data,
)
from exec_server_protocol.path_uri import PathUri
from fs_helper.dispatch import Dispatcher
from fs_helper.errors import OperationError

BULK = {"fs/writeFile": "dataBase64", "fs/writeBlock": "chunk"}
PATIENCE_S = 20
NOBODY = 65534

Ask = Callable[..., Any]


def _params(op: str, members: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Turn paths into URIs and bytes into base64, as a server gets them."""
    params: dict[str, Any] = {}
    bulk = None
    for name, value in members.items():
        if name == BULK.get(op):
            bulk = value if isinstance(value, str) else base64.b64encode(value).decode()
        elif isinstance(value, Path | bytes):
            params[name] = str(PathUri.from_native(value))
        else:
            params[name] = value
    return params, bulk


class InProcess:
    """Asks a dispatcher directly, through the frames it makes."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.frames: list[Frame] = []

    def __call__(self, op: str, **members: Any) -> Any:
        params, bulk = _params(op, members)
        collector = None
        if bulk is not None:
            collector = self.dispatcher.collector()
            collector.feed(bulk.encode())
        self.frames = []
        decoder = FrameDecoder(FROM_WORKER)
        for buffers in self.dispatcher.answer(1, Request(op, params), collector):
            self.frames += decoder.feed(b"".join(buffers))
        decoder.finish()
        return _result(self.frames, op, params)


def _result(frames: list[Frame], op: str, params: dict[str, Any]) -> Any:
    """Return what a server makes of the frames of an answer."""
    last = frames[-1]
    if last.kind is FrameKind.ERROR:
        raise OperationError(*decode_error(last.payload))
    whole = b"".join(frame.payload for frame in frames)
    if op not in BULK_RESULTS:
        assert last.kind is FrameKind.RESULT
        assert all(frame.kind is FrameKind.RESULT_PART for frame in frames[:-1])
        return json.loads(whole.decode("ascii"))
    assert last.kind is FrameKind.RESULT_DATA_LAST
    assert all(frame.kind is FrameKind.RESULT_DATA and frame.payload for frame in frames[:-1])
    result: dict[str, Any] = {BULK_RESULTS[op]: base64.b64encode(whole).decode()}
    if op == "fs/readBlock":
        assert len(whole) <= params["len"]
        result["eof"] = len(whole) < params["len"]
    return result


class Worker:
    """A real helper on pipes, as a server would have it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "fs_helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env={"PATH": os.environ["PATH"]},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin = self.process.stdin.fileno()
        self.stdout = self.process.stdout.fileno()
        self.decoder = FrameDecoder(FROM_WORKER)
        self.waiting: list[Frame] = []
        self.asked: dict[int, tuple[str, dict[str, Any]]] = {}
        self.next_id = 1
        self.ready = decode_ready(self.frame().payload)

    def read(self) -> bytes:
        """Return what is there next; empty at EOF."""
        assert select.select([self.stdout], [], [], PATIENCE_S)[0], "the worker said nothing"
        return os.read(self.stdout, 1 << 20)

    def frame(self) -> Frame:
        while not self.waiting:
            data = self.read()
            if not data:
                raise EOFError
            self.waiting += self.decoder.feed(data)
        return self.waiting.pop(0)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            assert select.select([], [self.stdin], [], PATIENCE_S)[1], "the worker reads nothing"
            view = view[os.write(self.stdin, view[:65536]) :]

    def post(self, op: str, **members: Any) -> int:
        """Send a request without waiting for the answer; return its id."""
        request_id, self.next_id = self.next_id, self.next_id + 1
        params, bulk = _params(op, members)
        self.asked[request_id] = op, params
        self.send(encode_request(request_id, op, params))
        if bulk is not None:
            for data in encode_request_data(request_id, bulk.encode()):
                self.send(data)
        return request_id

    def answer(self, request_id: int) -> Any:
        frames = [self.frame()]
        while frames[-1].kind in (FrameKind.RESULT_PART, FrameKind.RESULT_DATA):
            frames.append(self.frame())
        assert {frame.request_id for frame in frames} == {request_id}
        return _result(frames, *self.asked.get(request_id, ("", {})))

    def __call__(self, op: str, **members: Any) -> Any:
        return self.answer(self.post(op, **members))

    def end_of_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def finish(self) -> tuple[int, str]:
        """Wait for the end; return exit status and stderr."""
        assert self.process.stderr is not None
        status = self.process.wait(PATIENCE_S)
        return status, self.process.stderr.read().decode()

    def kib(self, field: str) -> int:
        """Return a line of /proc/PID/status that is in KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{field}:")[1].split()[0])

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            if not pipe.closed:
                pipe.close()


@pytest.fixture
def ask() -> Iterator[InProcess]:
    asker = InProcess()
    yield asker
    asker.dispatcher.handles.close_all()


@pytest.fixture
def start_worker() -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker())
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def worker(start_worker: Callable[[], Worker]) -> Worker:
    return start_worker()


@pytest.fixture
def fails(ask: InProcess) -> Callable[..., str]:
    """Ask, expect a code, return the message."""

    def expect(code: int, op: str, **members: Any) -> str:
        with pytest.raises(OperationError) as caught:
            ask(op, **members)
        assert caught.value.code == code, caught.value.message
        return caught.value.message

    return expect


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], Any]], Any]:
    """Run a function in a child without privileges; return what it returns, as JSON."""
    if os.getuid() != 0:
        pytest.skip("only root can drop privileges, and only root needs to")

    def run(function: Callable[[], Any]) -> Any:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                try:
                    value = function()
                except OperationError as error:
                    value = {"code": error.code, "message": error.message}
                os.write(writer, json.dumps(value).encode())
                os._exit(0)
            except BaseException as error:  # noqa: BLE001 - a child must not return to pytest
                os.write(writer, json.dumps({"failed": repr(error)}).encode())
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            value = json.loads(answers.read())
        assert os.waitpid(pid, 0)[1] == 0, value
        return value

    return run


@pytest.fixture
def public_path(tmp_path: Path) -> Iterator[Path]:
    """A directory that everybody can get to: pytest's own are private to one user."""
    place = Path("/var/tmp") / f"exec-fs-helper-{os.getpid()}-{time.monotonic_ns()}"
    place.mkdir()
    place.chmod(0o755)
    yield place
    subprocess.run(["rm", "-rf", str(place)], check=True)
