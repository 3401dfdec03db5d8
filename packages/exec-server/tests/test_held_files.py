"""Reading what a worker has opened, and receiving it."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_server.workers.held_files import HeldFile, HeldFiles, receive_with_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is held elsewhere")

CONTENT = os.urandom(3 * 1024 * 1024 + 5)


@pytest.fixture
def files() -> HeldFiles:
    return HeldFiles(3)


@pytest.fixture
def held(files: HeldFiles, tmp_path: Path) -> Iterator[HeldFile]:
    (tmp_path / "f").write_bytes(CONTENT)
    file = files.hold(os.open(tmp_path / "f", os.O_RDONLY))
    assert file is not None
    if file.read(0, 1) is None:
        pytest.skip("this file system cannot be read without waiting")
    yield file
    file.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(CONTENT) + 10), st.integers(1, 1 << 20))
def test_a_block_is_what_the_file_has_there(held: HeldFile, offset: int, length: int) -> None:
    parts = held.read(offset, length)
    assert parts is not None
    expected = CONTENT[offset : offset + length]
    assert json.loads(b"".join(parts)) == {
        "chunk": base64.b64encode(expected).decode(),
        "eof": len(expected) < length,
    }


def _descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "process", "terminal"])
def test_what_is_no_file_is_left_to_the_worker_without_waiting(
    files: HeldFiles, tmp_path: Path, kind: str
) -> None:
    opened: tuple[int, ...]
    if kind == "pipe":
        opened = os.pipe()
    elif kind == "socket":
        opened = tuple(end.detach() for end in socket.socketpair())
    elif kind == "folder":
        opened = (os.open(tmp_path, os.O_RDONLY),)
    elif kind == "process":
        opened = (os.open("/proc/self/status", os.O_RDONLY),)
    else:
        opened = os.openpty()
    file = files.hold(opened[0])
    assert file is not None
    assert file.read(0, 100) is None
    file.close()
    for descriptor in opened[1:]:
        os.close(descriptor)


def test_offsets_that_no_file_has_are_left_to_the_worker(held: HeldFile) -> None:
    for offset in (2**63 - 1, 2**63, 2**64 - 1):
        assert held.read(offset, 1 << 20) is None


def test_there_are_never_more_than_the_limit_and_each_is_closed_once(files: HeldFiles) -> None:
    before = _descriptors()
    held = [files.hold(os.open("/", os.O_RDONLY)) for _ in range(5)]
    assert held[3:] == [None, None]
    assert not files.has_room
    assert len(_descriptors()) == len(before) + 3
    for file in held[:3]:
        assert file is not None
        file.close()
        file.close()
        assert files.has_room
    assert len(files) == 0
    assert _descriptors() == before


def _send(sock: socket.socket, *descriptors: int) -> None:
    rights = struct.pack(f"{len(descriptors)}i", *descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    sock.sendmsg([b"frame"], ancillary)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 100])
def test_one_file_is_taken_and_all_others_are_closed(number: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = _descriptors()
        _send(theirs, *[0] * number)
        count, descriptor = receive_with_file(ours, memoryview(bytearray(100)))
        assert count == 5
        assert (descriptor is not None) is (number > 0)
        if descriptor is not None:
            assert not os.get_inheritable(descriptor)
            assert os.path.sameopenfile(descriptor, 0)
            os.close(descriptor)
        assert _descriptors() == before
