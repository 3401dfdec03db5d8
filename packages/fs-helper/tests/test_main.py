"""The program, driven over pipes as a server drives it."""

from __future__ import annotations

import ast
import base64
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fs_helper
import pytest
from exec_server_protocol.helper import (
    EXIT_PROTOCOL_ERROR,
    FRAME_VERSION,
    MAX_PAYLOAD_BYTES,
    FrameKind,
    encode_frame,
    encode_request,
    encode_request_data,
)
from fs_helper.errors import OperationError

pytestmark = pytest.mark.process

Start = Callable[[], Any]
START_MAX_KIB = 15 * 1024
STREAMING_MAX_KIB = 18 * 1024
"""Some pieces of a megabyte more, of a large write."""


def uri(path: Path) -> str:
    return path.as_uri()


def test_a_worker_says_its_versions_first(worker: Any) -> None:
    assert worker.ready == (FRAME_VERSION, fs_helper.__version__)
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'\nversion = "{fs_helper.__version__}"\n' in pyproject


def test_eof_ends_a_worker_quietly(worker: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    worker("fs/open", handleId="h", path=tmp_path / "f")
    worker.end_of_input()
    assert worker.read() == b""
    assert worker.finish() == (0, "")


def test_requests_sent_ahead_are_answered_in_order_before_the_end(
    worker: Any, tmp_path: Path
) -> None:
    ids: list[tuple[int, bytes | None]] = []
    for number in range(300):
        path = tmp_path / f"{number}"
        ids.append((worker.post("fs/writeFile", path=path, dataBase64=b"%d" % number), None))
        ids.append((worker.post("fs/readFile", path=path), b"%d" % number))
    worker.end_of_input()
    for request_id, content in ids:
        answer = worker.answer(request_id)
        if content is not None:
            assert base64.b64decode(answer["dataBase64"]) == content
    assert worker.finish() == (0, "")


def test_a_request_that_is_cut_off_is_dropped(start_worker: Start, tmp_path: Path) -> None:
    request = encode_request(1, "fs/writeFile", {"path": uri(tmp_path / "f")})
    data = b"".join(encode_request_data(1, b"eHh4"))
    for cut in (1, len(request) - 1, len(request), len(request) + 5, len(request) + len(data) - 1):
        worker = start_worker()
        worker.send((request + data)[:cut])
        worker.end_of_input()
        assert worker.read() == b""
        assert worker.finish() == (0, "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(b"\xff" * 9, id="everything set"),
        pytest.param((MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big") + b"\x02\0\0\0\1", id="too large"),
        pytest.param(b"\0\0\0\0\x09\0\0\0\1", id="unknown kind"),
        pytest.param(b"\0\0\0\2\x06\0\0\0\1{}", id="wrong direction"),
        pytest.param(b"\0\0\0\2\x02\0\0\0\0{}", id="no request id"),
        pytest.param(encode_frame(FrameKind.REQUEST, 1, b"no json"), id="no JSON"),
        pytest.param(encode_frame(FrameKind.REQUEST, 1, b"[" * 100_000), id="nesting"),
        pytest.param(encode_frame(FrameKind.REQUEST, 1, b"[]"), id="no object"),
        pytest.param(encode_frame(FrameKind.REQUEST, 1, b"\xff\xfe"), id="no UTF-8"),
        pytest.param(encode_frame(FrameKind.REQUEST, 1, b'{"op":"fs/walk"}'), id="no params"),
        pytest.param(encode_frame(FrameKind.REQUEST_DATA, 1, b"eHh4"), id="data of no request"),
        pytest.param(
            encode_request(1, "fs/writeFile", {}) + encode_frame(FrameKind.REQUEST_DATA, 2, b""),
            id="data of another request",
        ),
        pytest.param(
            encode_request(1, "fs/writeFile", {}) + encode_request(2, "fs/close", {}),
            id="a request inside another",
        ),
    ],
)
def test_an_illegal_frame_ends_a_worker(worker: Any, hostile: bytes) -> None:
    worker.send(hostile)
    assert worker.read() == b""
    status, text = worker.finish()
    assert status == EXIT_PROTOCOL_ERROR
    assert text.startswith("fs-helper: illegal frame: ")
    assert text.count("\n") == 1


def test_requests_before_an_illegal_frame_are_answered(worker: Any, tmp_path: Path) -> None:
    request = encode_request(7, "fs/getMetadata", {"path": uri(tmp_path)})
    worker.send(request + b"\xff" * 9)
    assert worker.answer(7)["isDirectory"] is True
    assert worker.read() == b""
    assert worker.finish()[0] == EXIT_PROTOCOL_ERROR


def test_failures_leave_a_worker_usable(worker: Any, tmp_path: Path) -> None:
    for op in ("fs/readFile", "fs/walk", "fs/nonsense", "fs/readBlock"):
        with pytest.raises(OperationError):
            worker(op, path=tmp_path)
    with pytest.raises(OperationError):
        worker("fs/writeFile", path=tmp_path / "f", dataBase64="!" * 3_000_000)
    assert worker("fs/readDirectory", path=tmp_path) == {"entries": []}


@pytest.mark.slow
def test_a_large_file_streams_in_bounded_memory(worker: Any, tmp_path: Path) -> None:
    block = random.Random(1).randbytes(1_000_000)
    with (tmp_path / "f").open("wb") as file:
        for _ in range(50):
            file.write(block)
    assert worker.kib("VmHWM") <= START_MAX_KIB
    request_id = worker.post("fs/readFile", path=tmp_path / "f")
    read = bytearray()
    length = 0
    while True:
        frame = worker.frame()
        assert frame.request_id == request_id
        length += len(frame.payload)
        if len(read) < len(block):
            read += frame.payload
        if frame.kind is FrameKind.RESULT_DATA_LAST:
            break
    assert read.startswith(block)
    assert length == 50_000_000
    assert worker.kib("VmHWM") <= STREAMING_MAX_KIB


@pytest.mark.slow
def test_memory_of_a_large_write_is_given_back(worker: Any, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(30_000_000)
    worker("fs/writeFile", path=tmp_path / "f", dataBase64=data)
    worker("fs/getMetadata", path=tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == data
    assert worker.kib("VmRSS") <= STREAMING_MAX_KIB


@pytest.mark.slow
def test_a_kill_in_an_atomic_write_leaves_the_old_or_the_new_file(
    start_worker: Start, tmp_path: Path
) -> None:
    file = tmp_path / "f"
    old = b"old" * 1000
    new = random.Random(1).randbytes(5_000_000)
    text = base64.b64encode(new)
    request = encode_request(1, "fs/writeFile", {"path": uri(file), "atomic": True})
    frames = [request, *encode_request_data(1, text)]
    seen = set()
    for patience_ms in (0, 0, 1, 2, 3, 4, 6, 8, 10, 14, 20, 28, 40, 2000):
        file.write_bytes(old)
        worker = start_worker()
        for frame in frames:
            worker.send(frame)
        select.select([worker.stdout], [], [], patience_ms / 1000)
        worker.process.kill()
        worker.process.wait(5)
        seen.add(file.read_bytes())
        for name in os.listdir(tmp_path):
            # The instant between having a name and having the right one.
            assert name == "f" or name.startswith(".fs-helper-")
    assert seen <= {old, new}
    assert new in seen


def test_a_reader_that_leaves_ends_a_worker_quietly(worker: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(5_000_000))
    worker.post("fs/readFile", path=tmp_path / "f")
    worker.process.stdout.close()
    assert worker.finish() == (0, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_have_their_default_effect(worker: Any, name: str) -> None:
    number = getattr(signal, name)
    worker.process.send_signal(number)
    assert worker.finish() == (-number, "")


def test_a_fifo_whose_reader_leaves_is_an_error_of_one_request(worker: Any, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    request_id = worker.post("fs/writeFile", path=fifo, dataBase64=b"x" * 300_000)
    assert select.select([reader], [], [], 5)[0]
    os.close(reader)
    with pytest.raises(OperationError) as caught:
        worker.answer(request_id)
    assert caught.value.message == "Broken pipe (os error 32)"
    assert worker("fs/getMetadata", path=tmp_path)["isDirectory"] is True


def test_answers_cannot_be_forged_through_the_pipes(worker: Any) -> None:
    forged = encode_frame(FrameKind.RESULT, 2, b"{}")
    for path in ("/proc/self/fd/1", "/dev/stdout", "/dev/stderr", "/dev/stdin"):
        request_id = worker.post("fs/writeFile", path=f"file://{path}", dataBase64=forged)
        with pytest.raises(OperationError) as caught:
            worker.answer(request_id)
        assert caught.value.code == -32600


def test_handles_live_from_request_to_request(worker: Any, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_000_000)
    (tmp_path / "f").write_bytes(data)
    worker("fs/open", handleId="r", path=tmp_path / "f")
    worker("fs/open", handleId="w", path=tmp_path / "g", mode="replace")
    offset = 0
    while True:
        answer = worker("fs/readBlock", handleId="r", offset=offset, len=1_048_576)
        chunk = base64.b64decode(answer["chunk"])
        worker("fs/writeBlock", handleId="w", offset=offset, chunk=chunk)
        offset += len(chunk)
        if answer["eof"]:
            break
    assert (tmp_path / "g").read_bytes() == data


def test_frames_may_arrive_one_byte_at_a_time(worker: Any, tmp_path: Path) -> None:
    request = encode_request(1, "fs/writeFile", {"path": uri(tmp_path / "f")})
    for byte in request + b"".join(encode_request_data(1, b"eHh4")):
        worker.send(bytes([byte]))
    assert worker.answer(1) == {}
    assert (tmp_path / "f").read_bytes() == b"xxx"


def test_a_socket_pair_will_do_as_stdin_and_stdout(tmp_path: Path) -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.setblocking(False)
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "fs_helper"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
        )
        theirs.close()
        try:
            assert ours.recv(1000)[4] == FrameKind.READY
            ours.sendall(encode_request(1, "fs/getMetadata", {"path": uri(tmp_path)}))
            assert ours.recv(1000)[4] == FrameKind.RESULT
            ours.shutdown(socket.SHUT_WR)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait(10)


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--version"], 0), (["--help"], 0), (["--nonsense"], 2)]
)
def test_arguments(arguments: list[str], status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "fs_helper", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        text=True,
    )
    assert done.returncode == status
    assert (done.stdout if status == 0 else done.stderr).count("fs-helper") >= 1


def test_starting_loads_little_and_only_what_every_python_has() -> None:
    code = "import sys, fs_helper.main; print(sorted(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, check=True, timeout=20, text=True
    ).stdout
    loaded = set(ast.literal_eval(out))
    heavy = {
        "argparse", "asyncio", "ctypes", "dataclasses", "inspect", "logging", "pathlib",
        "pydantic", "pybase64", "shutil", "socket", "subprocess", "tempfile", "threading",
        "traceback", "urllib",
    }  # fmt: skip
    assert not loaded & heavy
    assert "exec_server_protocol.helper" in loaded
    assert not loaded & {f"exec_server_protocol.{name}" for name in ("_model", "rpc", "methods")}


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_worker_sleeps_soon_after_requests_that_followed_each_other(
    worker: Any, tmp_path: Path
) -> None:
    for _ in range(50):
        worker("fs/getMetadata", path=tmp_path)
    deadline = time.monotonic() + 20
    asleep = 0
    while asleep < 100:  # in a row: looking for requests would show as running in between
        asleep = asleep + 1 if _state(worker.process.pid) == "S" else 0
        assert time.monotonic() < deadline
    assert worker("fs/getMetadata", path=tmp_path)["isDirectory"]
