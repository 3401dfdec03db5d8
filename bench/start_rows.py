"""Rows about starts for ``compare.py``: from exec to the first of each kind of answer."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from exec_testkit.server import ServerProcess
from file_rows import RawSocket

__all__ = ["measure_starts"]

STARTS = 5
"""Fresh servers for each row: the first start of a program reads its files from the disk."""


class _Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def _origin() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def measure_starts(command: Sequence[str]) -> dict[str, float]:
    """Return medians, in seconds from exec on; each kind of first request has its own servers."""
    start = {
        "processId": "p",
        "argv": ["/bin/true"],
        "cwd": "file:///",
        "env": {},
        "tty": False,
        "pipeStdin": False,
        "arg0": None,
    }
    found: dict[str, list[float]] = {}
    with _origin() as url:
        http = {"method": "GET", "url": url, "requestId": "r", "headers": []}
        firsts = {
            "start_to_first_process_s": ("process/start", start),
            "start_to_first_http_answer_s": ("http/request", http),
        }
        for _ in range(STARTS):
            for row, (method, params) in firsts.items():
                banner, answer, first = _start(command, method, params)
                found.setdefault("start_to_banner_s", []).append(banner)
                found.setdefault("start_to_first_answer_s", []).append(answer)
                found.setdefault(row, []).append(first)
    return {row: statistics.median(times) for row, times in found.items()}


def _start(command: Sequence[str], method: str, params: Any) -> tuple[float, float, float]:
    home = tempfile.mkdtemp(prefix="bench-")
    request = json.dumps({"id": 2, "method": method, "params": params}).encode()
    started = time.perf_counter()
    with ServerProcess(command=command, env={**os.environ, "CODEX_HOME": home}) as server:
        banner = time.perf_counter() - started
        client = RawSocket(server.port)  # which sends initialize and waits for its answer
        answer = time.perf_counter() - started
        message = json.loads(client.round_trip(request))
        while message.get("id") != 2:  # events of a process may come before the answer
            message = json.loads(client.read())
        first = time.perf_counter() - started
        client.close()
    shutil.rmtree(home, ignore_errors=True)
    if "result" not in message:
        raise RuntimeError(f"{method}: {message}")
    return banner, answer, first
