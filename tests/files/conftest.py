"""Servers, helpers that misbehave, and a folder with an outside for the tests of files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from exec_testkit.server import ServerProcess


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--session-ttl-seconds", "2") as process:
        yield process


class MakeHelper(Protocol):
    def __call__(self, body: str) -> str: ...


@pytest.fixture
def make_helper(tmp_path: Path) -> MakeHelper:
    """Return a function that writes a helper of a few lines and returns its path.

    The lines run after the helper's modules are imported. ``ready()`` says that it is ready,
    ``requests()`` yields what it is asked, ``send(kind, request_id, payload)`` answers,
    ``serve()`` behaves.
    """

    def make(body: str) -> str:
        path = tmp_path / "helper-under-test"
        path.write_text(f"#!{sys.executable}\n{_PRELUDE}\n{body}\n")
        path.chmod(0o755)
        return os.fspath(path)

    return make


_PRELUDE = """
import os, signal, sys, time
from exec_server_protocol.helper import *
from exec_server_protocol.helper import encode_frame

def write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]

def ready():
    write(encode_ready("0"))

def requests():
    decoder = FrameDecoder(FROM_SERVER)
    while data := os.read(0, 65536):
        for frame in decoder.feed(data):
            if frame.kind is FrameKind.REQUEST:
                yield frame.request_id, decode_request(frame.payload)

def send(kind, request_id, payload):
    write(encode_frame(FrameKind[kind], request_id, payload))

def serve():
    from fs_helper.main import main
    sys.exit(main())
"""


@pytest.fixture(scope="session")
def needs_sandbox() -> None:
    """Skip where bubblewrap cannot work: no Linux, or no user namespaces."""
    if sys.platform != "linux":
        pytest.skip("bubblewrap is for Linux")
    from exec_server.sandbox.bubblewrap import find_bubblewrap

    bubblewrap = os.fsdecode(find_bubblewrap().path)
    tried = subprocess.run(
        [bubblewrap, "--unshare-user", "--ro-bind", "/", "/", "true"], capture_output=True
    )
    if tried.returncode:
        pytest.skip("this system does not let bubblewrap work")
