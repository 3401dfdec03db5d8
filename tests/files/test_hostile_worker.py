"""A worker that says anything at all costs the request that it was asked, and no more."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exec_server import ServerConfig, serve
from exec_server.config import FileLimits
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

from .conftest import MakeHelper

pytestmark = [pytest.mark.process, pytest.mark.slow]

_GOOD = {"path": "file:///"}
_BAD = {"path": "file:///bad"}

_ATTACKS_ON_BAD = """
import fs_helper.main as m
class Worker(m._Worker):
    def _answer(self, request_id, request, bulk):
        if str(request.params.get("path", "")).endswith("/bad"):
            attack(request_id)
        else:
            super()._answer(request_id, request, bulk)
m._Worker = Worker
def attack(request_id):
    {attack}
serve()
"""

_FORGED = """b'{"isDirectory":false,"isFile":true,"isSymlink":false,"size":1,"createdAtMs":0,' """


@asynccontextmanager
async def _client(helper: str, **limits: float) -> AsyncIterator[WireClient]:
    config = ServerConfig(fs_helper=helper, files=FileLimits(**limits))  # type: ignore[arg-type]
    async with serve(config) as server:
        client = await WireClient.ready(server.url)
        yield client
        await client.close()


@pytest.mark.parametrize(
    ("method", "attack"),
    [
        ("getMetadata", 'write(b"\\xff" * 100)'),
        ("getMetadata", "write(bytes(100))"),
        ("getMetadata", 'write(b"garbage that is no frame but long enough to have a header")'),
        ("getMetadata", 'send("RESULT", request_id + 1, b"{}")'),
        ("getMetadata", 'send("RESULT", request_id, b"not JSON")'),
        ("getMetadata", 'send("RESULT", request_id, b"{}")'),
        ("getMetadata", f'send("RESULT", request_id, {_FORGED} b\'"modifiedAtMs":0}}}},"id":77\')'),
        ("getMetadata", f'send("RESULT", request_id, {_FORGED} b\'"modifiedAtMs":-1}}\')'),
        ("getMetadata", 'send("RESULT_PART", request_id, b"{")'),
        ("getMetadata", 'write(encode_ready("0"))'),
        ("getMetadata", 'send("ERROR", request_id, b"no JSON")'),
        ("getMetadata", 'send("ERROR", request_id, b\'{"code":"x","message":1}\')'),
        ("getMetadata", 'send("ERROR", request_id, b\'{"code":1,"message":"","errno":4096}\')'),
        ("getMetadata", "write((2**32 - 1).to_bytes(4, 'big') + bytes([6]) + bytes(4))"),
        ("getMetadata", "sys.exit(0)"),
        ("getMetadata", "os.kill(os.getpid(), 9)"),
        ("getMetadata", "os.abort()"),
        ("canonicalize", 'send("RESULT", request_id, b\'{"path":"file:///a"},"id":7,"x":{}\')'),
        ("getMetadata", 'send("RESULT_DATA_LAST", request_id, b"{}")'),
        ("getMetadata", 'send("RESULT_DATA", request_id, b"{}")'),
        ("readFile", 'send("RESULT", request_id, b\'{"dataBase64":"YQ=="}\')'),
        ("readFile", 'send("RESULT", request_id, b"{}")'),
        ("readFile", 'send("RESULT_PART", request_id, b\'{"dataBase64":"\')'),
        ("readFile", 'send("RESULT_DATA", request_id, b"abc"); send("RESULT", request_id, b"{}")'),
        ("readFile", 'send("RESULT_DATA", request_id + 1, b"abc")'),
        ("readFile", 'send("RESULT_DATA", request_id, b"abc"); sys.exit()'),
        ("readFile", 'send("RESULT_DATA", request_id, b"abc"); write(encode_ready("0"))'),
        ("readFile", "write(encode_frame(8, request_id, b'abc')[:-1]); sys.exit()"),
        ("readFile", "write((2**20 + 1025).to_bytes(4, 'big') + b'\\x08' + bytes([0, 0, 0, 2]))"),
        ("readFile", 'while True: send("RESULT_DATA", request_id, b"")'),
        ("readDirectory", 'send("RESULT", request_id, b\'{"entries":[{}]}\')'),
        ("readDirectory", 'send("RESULT", request_id, b\'{"entries":[]}]\')'),
        ("readDirectory", 'send("RESULT_PART", request_id, b\'{"entries":[,\')'),
        ("remove", 'send("RESULT", request_id, b\'{"a":1}\')'),
    ],
)
async def test_an_illegal_answer_is_an_error_of_its_request_only(
    make_helper: MakeHelper, method: str, attack: str
) -> None:
    async with _client(make_helper(_ATTACKS_ON_BAD.format(attack=attack))) as client:
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]
        bad = await client.request(f"fs/{method}", _BAD)
        behind = await client.request("fs/getMetadata", _GOOD)
        with pytest.raises(WireError, match=r"-32603: the file helper (ended|did not keep)"):
            await client.answer(bad)
        assert (await client.answer(behind))["isDirectory"]
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]
        assert not client.notifications


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        ('send("ERROR", request_id, b\'{"code":-32010,"message":"again"}\')', -32603),
        ('send("ERROR", request_id, b\'{"code":-32601,"message":"x"}\')', -32603),
        ('send("ERROR", request_id, b\'{"code":-32004,"message":"\\\\ud800"}\')', -32004),
        (
            'send("ERROR", request_id, b\'{"code":-32600,"message":"%s"}\' % (b"x" * 90000))',
            -32600,
        ),
    ],
)
async def test_an_error_keeps_to_the_codes_and_lengths_that_it_may_have(
    make_helper: MakeHelper, attack: str, code: int
) -> None:
    async with _client(make_helper(_ATTACKS_ON_BAD.format(attack=attack))) as client:
        with pytest.raises(WireError) as caught:
            await client.call("fs/getMetadata", _BAD)
        assert caught.value.code == code
        assert len(str(caught.value)) < 5000


async def test_an_answer_that_comes_late_costs_the_next_request_at_most(
    make_helper: MakeHelper,
) -> None:
    attack = f"send('RESULT', request_id, {_FORGED} b'\"modifiedAtMs\":0}}' * 2)"
    late = 'send("ERROR", request_id, b\'{"code":-32004,"message":"x"}\'); ' + attack
    async with _client(make_helper(_ATTACKS_ON_BAD.format(attack=late))) as client:
        assert await client.refused("fs/getMetadata", _BAD) == -32004
        # The late answer meets an idle worker, or one that has been asked again.
        request = await client.request("fs/getMetadata", _GOOD)
        assert await client.outcome(request) in (0, -32603)
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]


_TOO_MUCH_OF_A_BLOCK = """
import fs_helper.main as m
from fs_helper.handles import Handles
Handles.take_opened = lambda self: None  # the server has to ask
class Worker(m._Worker):
    def _answer(self, request_id, request, bulk):
        if request.op == "fs/readBlock" and request.params["offset"]:
            {attack}
        else:
            super()._answer(request_id, request, bulk)
m._Worker = Worker
serve()
"""


@pytest.mark.parametrize(
    "attack",
    [
        'send("RESULT_DATA_LAST", request_id, b"12345")',
        'send("RESULT_DATA", request_id, b"1234"); send("RESULT_DATA_LAST", request_id, b"5")',
        'send("RESULT_DATA", request_id, b"12345")',
        'send("RESULT", request_id, b\'{"chunk":"YQ==","eof":true}\')',
    ],
)
async def test_a_block_is_never_longer_than_was_asked_for(
    make_helper: MakeHelper, tmp_path: Path, attack: str
) -> None:
    (tmp_path / "f").write_bytes(b"abcdef")
    async with _client(make_helper(_TOO_MUCH_OF_A_BLOCK.format(attack=attack))) as client:
        await client.call("fs/open", {"handleId": "h", "path": (tmp_path / "f").as_uri()})
        block = {"handleId": "h", "offset": 0, "len": 4}
        assert await client.call("fs/readBlock", block) == {"chunk": "YWJjZA==", "eof": False}
        with pytest.raises(WireError, match="-32603: the file helper did not keep"):
            await client.call("fs/readBlock", {**block, "offset": 1})
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]


_HANDS_ON = """
import _socket, struct
import fs_helper.main as m
def hand_on(request_id, kind, payload, *files):
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("%di" % len(files), *files))
    out = _socket.socket(fileno=os.dup(1))
    out.sendmsg([encode_frame(FrameKind[kind], request_id, payload)], [rights])
    out.detach()
class Worker(m._Worker):
    def _answer(self, request_id, request, bulk):
        if request.op == "{op}":
            {attack}
        else:
            super()._answer(request_id, request, bulk)
m._Worker = Worker
serve()
"""

_OPENED = """b'{"handleId":"%s"}' % request.params["handleId"].encode()"""
_FIFO = "os.mkfifo(F); file = os.open(F, os.O_RDWR); "


@pytest.mark.parametrize(
    ("op", "attack"),
    [
        # What cannot be read without waiting, or not at all, is asked of the worker.
        ("fs/open", f'{_FIFO}hand_on(request_id, "RESULT", {_OPENED}, file)'),
        ("fs/open", f'hand_on(request_id, "RESULT", {_OPENED}, os.open("/", 0))'),
        ("fs/open", f'hand_on(request_id, "RESULT", {_OPENED}, 1)'),
        ("fs/open", f'hand_on(request_id, "RESULT", {_OPENED}, os.open("/proc/self/mem", 0))'),
        ("fs/open", f'hand_on(request_id, "RESULT", {_OPENED}, *os.pipe())'),
        ("fs/open", f'hand_on(request_id, "RESULT", {_OPENED}, *[0] * 200)'),
        # And where there is no file to be handed on, none is kept.
        (
            "fs/open",
            'hand_on(request_id, "ERROR", b\'{"code":-32004,"message":"x"}\', 0)',
        ),
        ("fs/open", 'hand_on(request_id, "RESULT", b"garbage", 0)'),
        (
            "fs/canonicalize",
            'hand_on(request_id, "RESULT", b\'{"path":"file:///a"}\', *[0] * 50)',
        ),
    ],
)
async def test_whatever_a_worker_hands_on_is_neither_waited_for_nor_kept(
    make_helper: MakeHelper, tmp_path: Path, op: str, attack: str
) -> None:
    (tmp_path / "f").write_bytes(b"abcdef")
    attack = attack.replace("F)", f"{os.fspath(tmp_path / 'fifo')!r})").replace(
        "F,", f"{os.fspath(tmp_path / 'fifo')!r},"
    )
    helper = make_helper(_HANDS_ON.replace("{op}", op).replace("{attack}", attack))
    config = ServerConfig(fs_helper=helper)
    async with serve(config) as server:
        client = await WireClient.ready(server.url)
        await client.call("fs/getMetadata", _GOOD)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            path = (tmp_path / "f").as_uri()
            await client.outcome(await client.request(op, {"handleId": "h", "path": path}))
            block = {"handleId": "h", "offset": 0, "len": 6}
            await client.outcome(await client.request("fs/readBlock", block))
            await client.call("fs/close", {"handleId": "h"})
            (tmp_path / "fifo").unlink(missing_ok=True)
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # a new worker's pidfd, perhaps
        await client.close()


async def test_a_file_that_never_ends_is_cut_off(make_helper: MakeHelper) -> None:
    attack = """piece = bytes(2**20)
    while True: send("RESULT_DATA", request_id, piece)"""
    async with _client(make_helper(_ATTACKS_ON_BAD.replace("{attack}", attack))) as client:
        await client.send_raw('{"id":"big","method":"fs/readFile","params":{"path":"file:///bad"}}')
        size = 0
        async for fragment in client.connection.recv_streaming(decode=False):
            size += len(fragment)
        # As much as the largest file has, and disowned.
        assert 0.9 * 2**29 < size * 3 / 4 <= 2**29 + 100
        error = json.loads(await client.connection.recv())
        assert error["id"] == "big"
        assert "did not keep to its protocol" in error["error"]["message"]
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]


async def test_an_endless_answer_is_cut_off(make_helper: MakeHelper) -> None:
    item = '{"path":"file:///a","kind":"file"}'
    attack = f"""send("RESULT_PART", request_id, b'{{"entries":[{item}')
    while True: send("RESULT_PART", request_id, b',{item}' * 20000)"""
    options = {
        "maxDepth": 1,
        "maxDirectories": 1,
        "maxEntries": 1,
        "followDirectorySymlinks": False,
    }
    async with _client(make_helper(_ATTACKS_ON_BAD.replace("{attack}", attack))) as client:
        walk = {**_BAD, "options": options}
        with pytest.raises(WireError, match="-32603: the file helper did not keep"):
            await client.call("fs/walk", walk)
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]


async def test_a_worker_that_never_answers_is_given_up(make_helper: MakeHelper) -> None:
    helper = make_helper(_ATTACKS_ON_BAD.format(attack="time.sleep(1000)"))
    async with _client(helper, quiet_seconds=1.0) as client:
        with pytest.raises(WireError, match="-32603: the file system did not answer within 1 s"):
            await client.call("fs/getMetadata", _BAD)
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]


async def test_a_long_answer_that_stalls_is_given_up_sooner(make_helper: MakeHelper) -> None:
    attack = """for _ in range(5): send("RESULT_DATA", request_id, bytes(1_000_000))
    time.sleep(1000)"""
    helper = make_helper(_ATTACKS_ON_BAD.replace("{attack}", attack))
    async with _client(helper, stalled_answer_seconds=1.0) as client:
        with pytest.raises(WireError, match="-32603: the file system did not answer within 1 s"):
            await client.call("fs/readFile", _BAD)
        assert (await client.call("fs/getMetadata", _GOOD))["isDirectory"]


async def test_a_worker_that_is_never_ready_is_given_up(make_helper: MakeHelper) -> None:
    async with _client(make_helper("time.sleep(1000)"), start_seconds=1.0) as client:
        with pytest.raises(WireError, match="-32603: the file helper was not ready within 1 s"):
            await client.call("fs/getMetadata", _GOOD)
        assert await client.call("environment/status") == {"status": "ready"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(3)", "the file helper ended"),
        ('write(b"hello, I am a shell script\\n")', "did not keep to its protocol"),
        (
            """write(encode_frame(FrameKind.READY, 0, b'{"frameVersion":99,"helperVersion":"9"}'))
time.sleep(1000)""",
            "speaks version 99",
        ),
    ],
)
async def test_what_is_no_worker_of_this_version_is_refused(
    make_helper: MakeHelper, body: str, said: str
) -> None:
    async with _client(make_helper(body)) as client:
        with pytest.raises(WireError, match=f"-32603: .*{said}"):
            await client.call("fs/getMetadata", _GOOD)
        assert await client.call("environment/status") == {"status": "ready"}


async def test_a_helper_that_is_missing_is_named_with_its_distribution(tmp_path: Path) -> None:
    async with _client(str(tmp_path / "nothing")) as client:
        with pytest.raises(WireError, match=r"-32603: .*fs-helper.*exec-fs-helper"):
            await client.call("fs/getMetadata", _GOOD)
        assert await client.call("environment/status") == {"status": "ready"}


async def test_a_helper_gets_four_variables_and_the_root_as_its_folder(
    make_helper: MakeHelper, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    helper = make_helper(
        "import json\n"
        "told = [dict(os.environ), os.getcwd(), sys.flags.isolated, os.listdir('/proc/self/fd')]\n"
        f"open({str(told)!r}, 'w').write(json.dumps(told))\n"
        "serve()"
    )
    env = {"PATH": os.environ["PATH"], "TMPDIR": "/tmp", "TMP": "/tmp", "TEMP": "/tmp"}
    with ServerProcess(
        "--fs-helper", helper, env={**env, "SECRET": "x", "HOME": "/root", "LANG": "C.UTF-8"}
    ) as server:
        client = await WireClient.ready(server.url)
        await client.call("fs/getMetadata", _GOOD)
        await client.close()
    environ, cwd, isolated, descriptors = json.loads(told.read_text())
    environ.pop("LC_CTYPE", None)  # Python sets it for itself
    assert environ == env
    assert cwd == "/"
    assert isolated == 1
    assert set(descriptors) <= {"0", "1", "2", "3", "4"}
