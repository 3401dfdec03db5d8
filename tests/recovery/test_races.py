"""The races of a client whose connection breaks, each forced by a peer that follows a script."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from exec_client import (
    Client,
    ClientClosedError,
    ClientError,
    ClientOptions,
    ClientState,
    ConnectionBrokenError,
    HandshakeRejectedError,
    HandshakeTimeoutError,
    OutputEvent,
    OutputLostError,
    ProcessBrokenError,
    RecoveryDeadlineError,
    SessionExpiredError,
    SessionLostError,
    connect,
)
from exec_server import ServerConfig
from exec_testkit.requirements import requirement
from exec_testkit.scripted_peer import PeerConnection, ScriptedPeer

FAST = ClientOptions(retry_delay=0.005, recovery_deadline=3.0, attempt_timeout=1.0)
Script = Callable[[PeerConnection], Awaitable[None]]


@pytest.fixture(autouse=True)
def bounded() -> None:
    """Every test here is bounded by pytest's timeout and the peer's own waits."""


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read(chunks: list[tuple[int, bytes]], next_seq: int, **state: Any) -> dict[str, Any]:
    return {
        "chunks": [{"seq": s, "stream": "stdout", "chunk": _b64(d)} for s, d in chunks],
        "nextSeq": next_seq,
        "exited": False,
        "exitCode": None,
        "closed": False,
        "failure": None,
        "sandboxDenied": False,
        **state,
    }


async def _output(peer: PeerConnection, process_id: str, seq: int, data: bytes) -> None:
    await peer.notify(
        "process/output", processId=process_id, seq=seq, stream="stdout", chunk=_b64(data)
    )


async def _finish(peer: PeerConnection, process_id: str, seq: int, code: int = 0) -> None:
    await peer.notify("process/exited", processId=process_id, seq=seq, exitCode=code)
    await peer.notify("process/closed", processId=process_id, seq=seq + 1)


async def _started(peer: PeerConnection) -> str:
    request = await peer.expect("process/start")
    process_id: str = request["params"]["processId"]
    await peer.answer(request, {"processId": process_id, "sandboxType": "none"})
    return process_id


async def _serve(peer: PeerConnection) -> None:
    """Answer everything as an idle executor would."""
    await peer.handshake()
    await _go_on(peer)


async def _go_on(peer: PeerConnection) -> None:
    while True:
        request = await peer.receive()
        if request["method"] == "process/read":
            await peer.answer(request, _read([], 1))
        elif request["method"] == "environment/status":
            await peer.answer(request, {"status": "ready"})
        elif request["method"] == "process/terminate":
            await peer.answer(request, {"running": True})
        else:
            await peer.answer(request, {})


async def _recovered(client: Client) -> None:
    assert await client.status() == "ready"
    assert client.state is ClientState.CONNECTED


@requirement("CLIENT-R01", "CLIENT-INV-10")
async def test_one_loss_starts_one_recovery_however_often_it_is_noticed() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.receive()
        peer.abort()

    async with ScriptedPeer(drop, _serve) as peer, connect(peer.url, options=FAST) as client:
        changes = client.state_changes()
        results = await asyncio.gather(
            client.call("fs/remove"), client.call("fs/copy"), return_exceptions=True
        )
        assert all(isinstance(result, ConnectionBrokenError) for result in results)
        await _recovered(client)
        seen = [(await anext(changes)).new, (await anext(changes)).new]
        assert seen == [ClientState.RECOVERING, ClientState.CONNECTED]
        assert len(peer.connections) == 2


@requirement("CLIENT-R02", "CLIENT-INV-12")
async def test_a_start_that_comes_while_the_link_is_down_goes_to_the_next_connection() -> None:
    ready = asyncio.Event()

    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    async def later(peer: PeerConnection) -> None:
        await ready.wait()
        await peer.handshake()
        process_id = await _started(peer)
        await _finish(peer, process_id, 1, 5)
        await _go_on(peer)

    async with ScriptedPeer(drop, later) as peer, connect(peer.url, options=FAST) as client:
        changes = client.state_changes()
        await anext(changes)
        start = asyncio.ensure_future(client.start(["x"]))
        ready.set()
        assert await (await start).wait() == 5


@requirement("CLIENT-R03", "CLIENT-INV-18", "CLIENT-INV-23", "CLIENT-INV-26")
async def test_a_start_whose_answer_is_lost_is_ended_and_its_id_kept_until_then() -> None:
    resume = asyncio.Event()
    ended = asyncio.Event()

    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.expect("process/start")
        peer.abort()

    async def clean(peer: PeerConnection) -> None:
        await resume.wait()
        await peer.handshake()
        request = await peer.expect("process/terminate")
        assert request["params"] == {"processId": "p"}
        await peer.answer(request, {"running": True})
        ended.set()
        assert await _started(peer) == "p"
        await _go_on(peer)

    async with ScriptedPeer(drop, clean) as peer, connect(peer.url, options=FAST) as client:
        with pytest.raises(ConnectionBrokenError) as caught:
            await client.start(["x"], process_id="p")
        assert caught.value.maybe_executed
        second = asyncio.ensure_future(client.start(["x"], process_id="p"))
        await asyncio.sleep(0)
        resume.set()
        with pytest.raises(ClientError, match="already registered"):
            await second
        await ended.wait()
        process = None
        while process is None:
            try:
                process = await client.start(["x"], process_id="p")
            except ClientError:
                await asyncio.sleep(0)
        assert process.process_id == "p"


@requirement("CLIENT-R04", "CLIENT-INV-20", "CLIENT-INV-24")
async def test_a_start_that_was_answered_just_before_the_cut_is_recovered() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        peer.abort()

    async def again(peer: PeerConnection) -> None:
        await peer.handshake()
        request = await peer.expect("process/read")
        assert request["params"]["afterSeq"] == 0
        answer = _read([(1, b"all of it")], 4, exited=True, exitCode=3, closed=True)
        await peer.answer(request, answer)
        await _go_on(peer)

    async with ScriptedPeer(drop, again) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        assert await process.stdout.read() == b"all of it"
        assert await process.wait() == 3


@requirement("CLIENT-R05")
async def test_events_may_come_before_the_answer_to_the_start() -> None:
    async def early(peer: PeerConnection) -> None:
        await peer.handshake()
        request = await peer.expect("process/start")
        process_id = request["params"]["processId"]
        await _output(peer, process_id, 1, b"early")
        await _finish(peer, process_id, 2)
        await peer.answer(request, {"processId": process_id})
        await _go_on(peer)

    async with ScriptedPeer(early) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        assert await process.stdout.read() == b"early"


@requirement("CLIENT-R06", "CLIENT-INV-11")
async def test_a_start_after_the_end_is_refused_with_the_same_text() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    async def refuse(peer: PeerConnection) -> None:
        await peer.refuse(await peer.expect("initialize"), -32600, "unknown session id")
        await peer.wait_closed()

    async with ScriptedPeer(drop, refuse) as peer, connect(peer.url, options=FAST) as client:
        with pytest.raises(SessionExpiredError) as caught:
            await client.status()  # repeated, however much of it left before the end
        texts = {str(caught.value)}
        for _ in range(3):
            with pytest.raises(SessionExpiredError) as caught:
                await client.start(["x"])
            texts.add(str(caught.value))
        assert len(texts) == 1
        assert len(peer.connections) == 2


@requirement("CLIENT-R07", "CLIENT-INV-16")
@pytest.mark.parametrize("moment", ["initialize", "initialized", "read"])
async def test_a_candidate_that_dies_is_replaced_and_never_used(moment: str) -> None:
    async def first(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        peer.abort()

    async def dies(peer: PeerConnection) -> None:
        if moment == "initialize":
            await peer.expect("initialize")
        else:
            await peer.handshake()
            if moment == "read":
                await peer.expect("process/read")
        peer.abort()

    async with ScriptedPeer(first, dies, dies, _serve) as peer:
        async with connect(peer.url, options=FAST) as client:
            await client.start(["x"])
            await _recovered(client)
            assert len(peer.connections) >= 4


@requirement("CLIENT-R08", "CLIENT-INV-14")
async def test_every_waiting_call_is_released_by_one_recovery() -> None:
    resume = asyncio.Event()

    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    async def later(peer: PeerConnection) -> None:
        await resume.wait()
        await _serve(peer)

    async with ScriptedPeer(drop, later) as peer, connect(peer.url, options=FAST) as client:
        changes = client.state_changes()
        await anext(changes)
        calls = [asyncio.ensure_future(client.status()) for _ in range(50)]
        await asyncio.sleep(0)
        resume.set()
        assert await asyncio.gather(*calls) == ["ready"] * 50


@requirement("CLIENT-R09", "CLIENT-R10", "CLIENT-R14", "CLIENT-INV-29", "CLIENT-INV-13")
async def test_ten_thousand_events_before_the_answer_to_the_resume() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        peer.abort()

    async def burst(peer: PeerConnection) -> None:
        request = await peer.expect("initialize")
        assert request["params"]["resumeSessionId"] == "session-1"
        for seq in range(2, 10_002):
            await _output(peer, "p", seq, b"%d," % seq)
        await peer.answer(request, {"sessionId": "session-1"})
        await peer.expect("initialized")
        read = await peer.expect("process/read")
        await peer.answer(read, _read([(1, b"1,"), (2, b"2,")], 3))
        await _finish(peer, "p", 10_002)
        await _go_on(peer)

    patient = replace(FAST, attempt_timeout=10, recovery_deadline=20)  # it is a lot to take
    async with ScriptedPeer(drop, burst) as peer, connect(peer.url, options=patient) as client:
        process = await client.start(["x"], process_id="p")
        status = asyncio.ensure_future(client.status())
        expected = b"".join(b"%d," % seq for seq in range(1, 10_002))
        assert await process.stdout.read() == expected
        assert await status == "ready"
        methods = [m["method"] for m in peer.connections[1].received]
        assert methods[:3] == ["initialize", "initialized", "process/read"]


@requirement("CLIENT-R11")
async def test_a_close_that_comes_first_waits_for_what_precedes_it() -> None:
    async def shuffled(peer: PeerConnection) -> None:
        await peer.handshake()
        process_id = await _started(peer)
        await peer.notify("process/closed", processId=process_id, seq=4)
        await peer.notify("process/exited", processId=process_id, seq=3, exitCode=0)
        await _output(peer, process_id, 2, b"b")
        await _output(peer, process_id, 1, b"a")
        await _go_on(peer)

    async with ScriptedPeer(shuffled) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        assert await process.stdout.read() == b"ab"
        assert [e.seq async for e in process.events() if not hasattr(e, "message")] == [1, 2, 3, 4]


@requirement("CLIENT-R12", "CLIENT-INV-26")
async def test_a_process_that_took_over_an_id_is_left_alone_by_the_older_one() -> None:
    async def two(peer: PeerConnection) -> None:
        await peer.handshake()
        await _finish(peer, await _started(peer), 1)
        process_id = await _started(peer)
        await _output(peer, process_id, 1, b"second")
        await _finish(peer, process_id, 2, 9)
        await _go_on(peer)

    async with ScriptedPeer(two) as peer, connect(peer.url, options=FAST) as client:
        first = await client.start(["x"], process_id="p")
        assert await first.wait() == 0
        second = await client.start(["x"], process_id="p")
        await first.__aexit__(None, None, None)
        assert await second.stdout.read() == b"second"
        assert await second.wait() == 9


@requirement("CLIENT-R13", "CLIENT-INV-33")
async def test_an_attached_session_is_tried_again_until_it_is_free() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    async def busy(peer: PeerConnection) -> None:
        request = await peer.expect("initialize")
        assert request["params"]["resumeSessionId"] == "session-1"
        await peer.refuse(request, -32010, "already attached")
        await peer.wait_closed()

    async with ScriptedPeer(drop, busy, busy, busy, _serve) as peer:
        async with connect(peer.url, options=FAST) as client:
            await _recovered(client)
            assert len(peer.connections) == 5


@requirement("CLIENT-R15", "CLIENT-INV-28")
@pytest.mark.parametrize(
    "frame",
    ["garbage", "[]", '{"method":"process/output","params":{"processId":"p"}}', b"\xff\xfe"],
)
async def test_what_makes_no_sense_costs_one_connection_and_not_the_session(
    frame: str | bytes,
) -> None:
    async def wrong(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.send_raw(frame)
        await peer.wait_closed()

    async with ScriptedPeer(wrong, wrong, _serve) as peer:
        async with connect(peer.url, options=FAST) as client:
            await _recovered(client)
            assert len(peer.connections) == 3


@requirement("CLIENT-INV-28")
async def test_unknown_notifications_and_processes_cost_nothing() -> None:
    async def odd(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.notify("brand/new", x=1)
        await _output(peer, "nobody", 1, b"x")
        await peer.send({"id": 999, "result": {}})
        await peer.send({"id": 5, "method": "network/policyRequest", "params": {}})
        answers = [await peer.receive(), await peer.receive()]
        codes = [a["error"]["code"] for a in answers if "error" in a]
        assert codes == [-32601]
        await peer.answer(next(a for a in answers if "method" in a), {"status": "ready"})
        await _go_on(peer)

    async with ScriptedPeer(odd) as peer, connect(peer.url, options=FAST) as client:
        await _recovered(client)
        assert len(peer.connections) == 1


@requirement("CLIENT-R16", "CLIENT-INV-19")
async def test_a_read_in_flight_is_asked_again_with_the_same_params() -> None:
    async def first(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        await peer.expect("process/read")
        peer.abort()

    async def second(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.answer(await peer.expect("process/read"), _read([], 1))
        await peer.answer(await peer.expect("process/read"), _read([(8, b"x")], 9))
        await _go_on(peer)

    async with ScriptedPeer(first, second) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        answer = await process.read(7, 100, 0.001)
        assert answer.next_seq == 9
        asked = [
            m["params"]
            for connection in peer.connections
            for m in connection.received
            if m["method"] == "process/read" and m["params"]["afterSeq"] == 7
        ]
        assert len(asked) == 2
        assert asked[0] == asked[1]


@requirement("CLIENT-R17", "CLIENT-INV-14")
@pytest.mark.parametrize("hang", ["upgrade", "initialize", "read"])
async def test_the_deadline_holds_whatever_the_peer_does(hang: str) -> None:
    async def first(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        peer.abort()

    async def stall(peer: PeerConnection) -> None:
        if hang == "read":
            await peer.handshake()
        await peer.wait_closed()

    options = ClientOptions(retry_delay=0.005, recovery_deadline=0.4, attempt_timeout=0.15)
    async with ScriptedPeer(first, stall) as peer, connect(peer.url, options=options) as client:
        loop = asyncio.get_running_loop()
        process = await client.start(["x"])
        started = loop.time()
        with pytest.raises(RecoveryDeadlineError, match=r"timed out after 0\.4s"):
            await client.status()
        assert loop.time() - started < 1.4
        assert len(peer.connections) >= 2
        with pytest.raises(ProcessBrokenError):
            await process.wait()


@requirement("CLIENT-R18")
def test_the_client_gives_up_before_the_server_forgets() -> None:
    # The two clocks start independently: half-open, the server's may start far later, not earlier.
    margin = ServerConfig().session_ttl - ClientOptions().recovery_deadline
    assert margin >= 5.0


@requirement("CLIENT-R19", "CLIENT-R20", "CLIENT-INV-22")
async def test_closing_while_recovering_releases_everybody_and_leaves_nothing() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        peer.abort()

    async def stall(peer: PeerConnection) -> None:
        await peer.wait_closed()

    before = len(asyncio.all_tasks())
    async with ScriptedPeer(drop, stall) as peer:
        client = await connect(peer.url, options=FAST)
        process = await client.start(["x"])
        waiting = asyncio.ensure_future(client.status())
        changes = client.state_changes()
        while client.state is not ClientState.RECOVERING:
            await anext(changes)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await waiting
        with pytest.raises(ProcessBrokenError):
            await process.wait()
        await client.aclose()
    assert len(asyncio.all_tasks()) <= before + 1


@requirement("CLIENT-INV-17")
async def test_a_client_without_recovery_never_dials_again() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    options = ClientOptions(recovery_deadline=0)
    async with ScriptedPeer(drop) as peer, connect(peer.url, options=options) as client:
        with pytest.raises(SessionLostError) as caught:
            await client.status()
        assert str(caught.value) == "exec-server transport disconnected"
        assert len(peer.connections) == 1


@requirement("CLIENT-INV-18")
async def test_calls_that_change_something_are_never_sent_twice() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await _started(peer)
        while True:
            request = await peer.receive()
            if request["method"] == "process/signal":
                peer.abort()
                return

    async with ScriptedPeer(drop, _serve) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        calls = [process.write(b"x"), client.call("fs/remove"), process.terminate()]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.01)
        waiting.append(asyncio.ensure_future(process.send_signal("interrupt")))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, ConnectionBrokenError) for result in results)
        await _recovered(client)
        sent = [m["method"] for c in peer.connections for m in c.received]
        for method in ("process/write", "fs/remove", "process/terminate", "process/signal"):
            assert sent.count(method) == 1


@requirement("CLIENT-INV-21")
async def test_answers_are_matched_by_id_in_any_order_and_odd_ones_change_nothing() -> None:
    async def shuffled(peer: PeerConnection) -> None:
        await peer.handshake()
        requests = [await peer.receive() for _ in range(3)]
        assert [r["id"] for r in requests] == [2, 3, 4]
        for request in reversed(requests):
            await peer.answer(request, {"echo": request["method"]})
            await peer.answer(request, {"echo": "again"})
        await _go_on(peer)

    async with ScriptedPeer(shuffled) as peer, connect(peer.url, options=FAST) as client:
        names = ["a", "b", "c"]
        results = await asyncio.gather(*(client.call(name) for name in names))
        assert [result["echo"] for result in results] == names


@requirement("CLIENT-INV-22", "CLIENT-INV-23")
async def test_a_cancelled_start_ends_the_process_that_it_started() -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()
    ended = asyncio.Event()

    async def script(peer: PeerConnection) -> None:
        await peer.handshake()
        request = await peer.expect("process/start")
        asked.set()
        await go_on.wait()
        await peer.answer(request, {"processId": "p"})
        assert (await peer.expect("process/terminate"))["params"] == {"processId": "p"}
        ended.set()

    async with ScriptedPeer(script) as peer, connect(peer.url, options=FAST) as client:
        start = asyncio.ensure_future(client.start(["x"], process_id="p"))
        await asked.wait()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        go_on.set()
        await ended.wait()


@requirement("CLIENT-INV-23")
async def test_an_answer_to_a_start_that_makes_no_sense_is_cleaned_up() -> None:
    ended = asyncio.Event()

    async def script(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.answer(await peer.expect("process/start"), "nonsense")
        await peer.expect("process/terminate")
        ended.set()

    async with ScriptedPeer(script) as peer, connect(peer.url, options=FAST) as client:
        with pytest.raises(ClientError, match="makes no sense") as caught:
            await client.start(["x"])
        assert caught.value.maybe_executed
        await ended.wait()


@requirement("CLIENT-INV-27", "CLIENT-INV-02")
async def test_a_gap_fails_one_process_and_no_other() -> None:
    async def first(peer: PeerConnection) -> None:
        await peer.handshake()
        for _ in range(2):
            await _started(peer)
        await _output(peer, "bad", 1, b"one")
        await peer.expect("environment/status")
        peer.abort()

    async def second(peer: PeerConnection) -> None:
        await peer.handshake()
        for request in [await peer.expect("process/read") for _ in range(2)]:
            if request["params"]["processId"] == "bad":
                await peer.answer(request, _read([(408, b"late")], 410, exited=True, exitCode=0))
            else:
                await peer.answer(request, _read([(1, b"fine")], 2))
        await peer.answer(await peer.expect("process/terminate"), {"running": True})
        await _finish(peer, "good", 2, 4)
        await _go_on(peer)

    async with ScriptedPeer(first, second) as peer, connect(peer.url, options=FAST) as client:
        bad = await client.start(["x"], process_id="bad")
        good = await client.start(["x"], process_id="good")
        assert await client.status() == "ready"
        with pytest.raises(OutputLostError) as caught:
            await bad.wait()
        assert (caught.value.after_seq, caught.value.oldest_seq) == (1, 408)
        assert await anext(bad.events()) == OutputEvent(1, "stdout", b"one")
        assert await good.stdout.read() == b"fine"
        assert await good.wait() == 4


@requirement("CLIENT-INV-08", "CLIENT-INV-24", "CLIENT-INV-27")
async def test_who_was_caught_up_with_in_a_lost_attempt_may_be_busy_in_the_next() -> None:
    async def first(peer: PeerConnection) -> None:
        await peer.handshake()
        for _ in range(2):
            await _started(peer)
        await peer.expect("environment/status")
        peer.abort()

    async def half(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.answer(await peer.expect("process/read"), _read([(1, b"1,")], 2))
        await peer.expect("process/read")
        peer.abort()

    async def busy(peer: PeerConnection) -> None:
        await peer.handshake()
        for seq in range(3, 1003):  # far more than may wait for an earlier one otherwise
            await _output(peer, "a", seq, b"%d," % seq)
        request = await peer.expect("process/read")
        assert request["params"]["afterSeq"] == 1
        await peer.answer(request, _read([(2, b"2,")], 3))
        await peer.answer(await peer.expect("process/read"), _read([], 1))
        await _finish(peer, "a", 1003)
        await _go_on(peer)

    async with ScriptedPeer(first, half, busy) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"], process_id="a")
        await client.start(["x"], process_id="b")
        assert await client.status() == "ready"
        assert await process.stdout.read() == b"".join(b"%d," % seq for seq in range(1, 1003))
        assert await process.wait() == 0


@requirement("CLIENT-R03", "CLIENT-INV-26")
async def test_an_id_stays_taken_while_a_lost_start_is_cleaned_up_whatever_its_process_does() -> (
    None
):
    noisy = asyncio.Event()
    go_on = asyncio.Event()
    ended = asyncio.Event()

    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.expect("process/start")
        peer.abort()

    async def clean(peer: PeerConnection) -> None:
        await peer.handshake()
        request = await peer.expect("process/terminate")
        for seq in range(1, 400):
            await _output(peer, "p", seq, b"x")
        await _finish(peer, "p", 400)
        await peer.send({"id": 999, "result": {}})
        await peer.answer(await peer.expect("environment/status"), {"status": "ready"})
        noisy.set()
        await go_on.wait()
        await peer.answer(request, {"running": False})
        ended.set()
        await _go_on(peer)

    async with ScriptedPeer(drop, clean) as peer, connect(peer.url, options=FAST) as client:
        with pytest.raises(ConnectionBrokenError):
            await client.start(["x"], process_id="p")
        assert await client.status() == "ready"
        await noisy.wait()
        with pytest.raises(ClientError, match="already registered"):
            await client.start(["x"], process_id="p")
        go_on.set()
        await ended.wait()


@requirement("CLIENT-INV-33")
async def test_another_session_than_the_one_asked_for_is_never_used() -> None:
    async def drop(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    async def other(peer: PeerConnection) -> None:
        request = await peer.expect("initialize")
        await peer.answer(request, {"sessionId": "session-2"})
        await peer.wait_closed()

    async with ScriptedPeer(drop, other) as peer, connect(peer.url, options=FAST) as client:
        with pytest.raises(SessionLostError, match="unexpected session"):
            await client.status()
        assert [m["method"] for m in peer.connections[1].received] == ["initialize"]


@requirement("CLIENT-INV-09")
async def test_the_wake_value_never_falls_and_every_event_wakes() -> None:
    go_on = asyncio.Event()

    async def script(peer: PeerConnection) -> None:
        await peer.handshake()
        process_id = await _started(peer)
        await _output(peer, process_id, 3, b"c")
        await go_on.wait()
        await _output(peer, process_id, 1, b"a")
        await _output(peer, process_id, 2, b"b")
        await _finish(peer, process_id, 4)
        await _go_on(peer)

    async with ScriptedPeer(script) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        seen = [await process.wait_changed(0)]
        assert seen == [3]
        go_on.set()
        while seen[-1] < 5:
            seen.append(await process.wait_changed(seen[-1]))
        assert seen == sorted(seen)


async def test_a_peer_that_refuses_or_hangs_is_told_apart() -> None:
    async def refuse(peer: PeerConnection) -> None:
        await peer.refuse(await peer.expect("initialize"), -32600, "full")
        await peer.wait_closed()

    async def hang(peer: PeerConnection) -> None:
        await peer.wait_closed()

    async def nonsense(peer: PeerConnection) -> None:
        await peer.answer(await peer.expect("initialize"), {"no": "session"})
        await peer.wait_closed()

    for script, error in (
        (refuse, HandshakeRejectedError),
        (hang, HandshakeTimeoutError),
        (nonsense, HandshakeRejectedError),
    ):
        async with ScriptedPeer(script) as peer:
            with pytest.raises(error):
                await connect(peer.url, options=ClientOptions(initialize_timeout=0.3))
            assert len(peer.connections) == 1
