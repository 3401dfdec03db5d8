"""A command in a sandbox gets no way around it by asking the server, whatever way it takes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from exec_server.sandbox.networked import LINGER_SECONDS, Namespace, NetworkedSandboxes
from exec_server.transport.peers import come_from_inside
from exec_testkit.door import knock
from exec_testkit.sandboxes import read_only
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
]

WAIT_S: Final = 20.0

NOWHERE: Final = frozenset({Namespace(0, 0)})
"""Around nobody."""


def _own_namespace() -> frozenset[Namespace]:
    status = os.stat("/proc/self/ns/pid")
    return frozenset({Namespace(status.st_dev, status.st_ino)})


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--log-level", "debug") as server:
        yield server


# ------------------------------------------------------------------ who is at the other end

FAMILIES: Final = [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    (socket.AF_INET, "127.0.0.1", "127.7.7.7"),
    (socket.AF_INET6, "::1", "::1"),
    (socket.AF_INET6, "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
]


def _pair(family: int, host: str, source: str) -> tuple[socket.socket, socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((host, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {host}: {error}")
        listener.listen()
        client = socket.socket(family, socket.SOCK_STREAM)
        client.bind((source, 0))
        client.connect(listener.getsockname())
        return client, listener.accept()[0]


def _inside(ours: socket.socket, around: frozenset[Namespace]) -> list[bool]:
    return come_from_inside([(ours.getpeername(), ours.getsockname())], around)


@pytest.mark.parametrize(("family", "host", "source"), FAMILIES)
def test_the_process_at_the_other_end_is_found_by_any_address(
    family: int, host: str, source: str
) -> None:
    client, ours = _pair(family, host, source)
    with client, ours:
        assert _inside(ours, NOWHERE) == [False]
        assert _inside(ours, _own_namespace()) == [True]


def test_who_talks_to_a_server_on_all_addresses_is_found_too() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            ours = listener.accept()[0]
            with client, ours:
                assert ours.getpeername()[0] == "::ffff:127.0.0.1"
                assert _inside(ours, NOWHERE) == [False]
                assert _inside(ours, _own_namespace()) == [True]


def test_one_that_has_closed_its_end_may_be_anybody() -> None:
    client, ours = _pair(*FAMILIES[0])
    with ours:
        client.sendall(b"what shall be done")
        client.close()
        assert _inside(ours, NOWHERE) == [True]


def test_one_that_has_reset_its_end_may_be_anybody() -> None:
    client, ours = _pair(*FAMILIES[0])
    with ours:
        peer, local = ours.getpeername(), ours.getsockname()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert come_from_inside([(peer, local)], NOWHERE) == [True]


def test_other_machines_are_outside() -> None:
    here = ("192.0.2.1", 80)
    assert come_from_inside([(("192.0.2.7", 4711), here)], _own_namespace()) == [False]
    here6 = ("2001:db8::2", 80, 0, 0)
    assert come_from_inside([(("2001:db8::1", 4711, 0, 0), here6)], _own_namespace()) == [False]


def test_a_descriptor_that_was_handed_out_of_sight_does_not_help() -> None:
    # A child in a namespace below the one that is looked for holds it, beside one outside.
    client, ours = _pair(*FAMILIES[0])
    script = "import sys; print('there', flush=True); sys.stdin.read()"
    try:
        child = subprocess.Popen(
            ["unshare", "-Urpf", sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[client.fileno()],
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    with client, ours, child:
        assert child.stdout is not None
        if child.stdout.readline() != b"there\n":
            pytest.skip("this machine allows no namespace below")
        unshared = next(
            pid for pid in _children(child.pid) if os.stat(f"/proc/{pid}/ns/pid").st_ino
        )
        status = os.stat(f"/proc/{unshared}/ns/pid")
        assert _inside(ours, frozenset({Namespace(status.st_dev, status.st_ino)})) == [True]
        assert _inside(ours, NOWHERE) == [False]
        child.communicate()


def _children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_many_are_told_apart_in_one_look() -> None:
    pairs = [_pair(*FAMILIES[number % 3]) for number in range(9)]
    for number, (client, _) in enumerate(pairs):
        if number % 2:
            client.close()
    asked = [(ours.getpeername(), ours.getsockname()) for _, ours in pairs]
    found = come_from_inside([*asked, (None, None)], NOWHERE)
    for client, ours in pairs:
        client.close()
        ours.close()
    assert found == [*(bool(number % 2) for number in range(9)), True]


def test_a_sandbox_is_remembered_for_a_while_after_its_end() -> None:
    known = NetworkedSandboxes()
    assert known.now() == frozenset()
    namespace = known.add(os.getpid())
    assert known.now() == {namespace} == _own_namespace()
    known.end(namespace)
    assert known.now() == {namespace}
    known._ended[namespace] -= LINGER_SECONDS
    assert known.now() == frozenset()
    assert not known._ended


# ------------------------------------------------------------------ with a server


def _frame(message: dict[str, Any]) -> bytes:
    text = json.dumps(message).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + text


def _said(escape: Path) -> bytes:
    """Return all that a deputy needs to hear, in one piece: upgrade, handshake, a command."""
    start = {"processId": "p", "cwd": "file:///", "env": {"PATH": os.defpath}, "tty": False}
    return b"".join(
        [
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            _frame({"id": 1, "method": "initialize", "params": {"clientName": "deputy"}}),
            _frame({"method": "initialized"}),
            _frame(
                {
                    "id": 2,
                    "method": "process/start",
                    "params": {**start, "argv": ["touch", str(escape)]},
                }
            ),
        ]
    )


DEPUTY: Final = r"""
import os, socket, sys
source, port, how, said = sys.argv[1], int(sys.argv[2]), sys.argv[3], bytes.fromhex(sys.argv[4])
def talk():
    end = socket.socket()
    end.settimeout(10)
    end.bind((source, 0))
    end.connect(("127.0.0.1", port))
    end.sendall(said)
    return end
if how == "nested":
    sys.argv[3] = "stay"
    with open("/proc/self/cmdline", "rb") as file:
        script = file.read().split(bytes(1))[2].decode()
    os.execvp("unshare", ["unshare", "-Upf", sys.executable, "-c", script, *sys.argv[1:]])
elif how == "stay":
    end, heard = talk(), b""
    try:
        while piece := end.recv(4096): heard += piece
    except OSError as error:
        heard += str(error).encode()
    print(heard)
elif how == "leave":
    talk().close()
else:
    for _ in range(20):
        if os.fork() == 0:
            os.setsid(); talk(); os._exit(0)
    for _ in range(20): os.wait()
"""


async def test_what_is_said_in_one_piece_is_done_for_others(
    server: ServerProcess, tmp_path: Path
) -> None:
    # Otherwise it would show nothing that it is not done for somebody inside.
    with socket.create_connection(("127.0.0.1", server.port)) as end:
        end.settimeout(WAIT_S)
        end.sendall(_said(tmp_path / "done"))
        heard = b""
        while b"process/closed" not in heard:
            heard += end.recv(65536)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("how", ["stay", "leave", "orphan", "nested"])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.9.9.9"])
async def test_nobody_in_a_sandbox_with_a_network_is_served(
    server: ServerProcess, tmp_path: Path, how: str, source: str
) -> None:
    escape = tmp_path / "escaped"
    client = await WireClient.ready(server.url)
    told = [source, str(server.port), how, _said(escape).hex()]
    await client.start(
        "p",
        [sys.executable, "-c", DEPUTY, *told],
        sandbox=read_only(tmp_path, network="enabled"),
    )
    output, code, _ = await client.finish("p")
    assert code == 0, output
    # Who is served now was accepted after all of them.
    other = await WireClient.ready(server.url)
    await other.start("q", ["true"])
    await other.finish("q")
    await other.close()
    await client.close()
    assert not escape.exists()
    if how in ("stay", "nested"):
        assert b"403 Forbidden" in output["stdout"], output


async def test_clients_of_this_machine_are_served_while_such_a_sandbox_runs(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"], sandbox=read_only(tmp_path, network="enabled"))
    for _ in range(5):
        other = await WireClient.ready(server.url)
        assert await other.call("environment/status") == {"status": "ready"}
        await other.close()
    assert knock(server.url)[0] == 101
    await client.call("process/terminate", {"processId": "p"})
    await client.finish("p")
    await client.close()


async def test_more_at_once_than_are_looked_at_hold_up_nobody(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"], sandbox=read_only(tmp_path, network="enabled"))
    crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    assert await client.call("environment/status") == {"status": "ready"}
    for end in crowd:
        end.close()
    other = await WireClient.ready(server.url)
    await other.close()
    await client.call("process/terminate", {"processId": "p"})
    await client.finish("p")
    await client.close()


async def test_a_server_stops_while_connections_are_looked_at(tmp_path: Path) -> None:
    with ServerProcess() as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sleep", "60"], sandbox=read_only(tmp_path, network="enabled"))
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
        server.signal(signal.SIGTERM)
        await client.closed()
        assert server.wait() == 0
        for end in crowd:
            end.close()
