"""Streamed bodies, whatever is sent and whoever reads when: a model says what is left."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any

import pytest
from exec_client.connection.read_budget import ReadBudget
from exec_client.errors import ClientClosedError, ClientError, HttpBodyError
from exec_client.session.bodies import MAX_WAITING_PIECES, Bodies, Body
from exec_testkit.virtual_time import run
from hypothesis import given
from hypothesis import strategies as st


@dataclass
class Model:
    """What a body should be: the pieces that came in order, and how it ends."""

    body: Body
    pieces: list[bytes] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    seq: int = 0
    end: str = "open"


STEPS = st.one_of(
    st.tuples(st.just("piece"), st.integers(0, 2), st.binary(max_size=3)),
    st.tuples(st.just("done"), st.integers(0, 2), st.binary(max_size=3)),
    st.tuples(st.just("error"), st.integers(0, 2), st.just(b"")),
    st.tuples(st.just("gap"), st.integers(0, 2), st.just(b"x")),
    st.tuples(st.just("take"), st.integers(0, 2), st.just(b"")),
    st.tuples(st.just("close"), st.integers(0, 2), st.just(b"")),
)


def _send(bodies: Bodies, body_id: str, seq: int, data: bytes, done: bool, error: Any) -> None:
    bodies.receive(
        {
            "requestId": body_id,
            "seq": seq,
            "deltaBase64": base64.b64encode(data).decode(),
            "done": done,
            "error": error,
        }
    )


def _apply(bodies: Bodies, model: Model, kind: str, data: bytes) -> None:
    """Let the executor do something, and the model as well."""
    if kind == "close":
        bodies.close(model.body)
        model.end = model.end if model.end != "open" else "closed"
        return
    model.seq += 1
    if kind == "error":
        _send(bodies, model.body.id, 99, b"", True, "broken")
    else:
        seq = model.seq + (kind == "gap")
        _send(bodies, model.body.id, seq, data, kind == "done", None)
    if model.end != "open":
        return
    if kind in ("piece", "done"):
        model.pieces += [data] if data else []
    model.end = {"piece": "open", "done": "done"}.get(kind, "failed")


async def _rest(model: Model) -> str:
    """Read what is left; returns how it ended, ``open`` when more could come."""
    try:
        async with asyncio.timeout(1):
            while (piece := await model.body.take()) is not None:
                model.taken.append(piece)
    except TimeoutError:
        return "open"
    except ClientError:
        return "failed"
    return "done"


@given(st.lists(STEPS, max_size=60))
def test_what_came_in_order_is_read_in_order_and_then_comes_one_end(
    steps: list[tuple[str, int, bytes]],
) -> None:
    async def play() -> None:
        bodies = Bodies(ReadBudget(10**6))
        models = [Model(bodies.open()) for _ in range(3)]
        for kind, number, data in steps:
            model = models[number]
            if kind != "take":
                _apply(bodies, model, kind, data)
            elif model.body.waiting:
                taken = await model.body.take()
                assert taken is not None
                model.taken.append(taken)
        assert not bodies.full
        for model in models:
            expected = "open" if model.end == "closed" else model.end
            assert await _rest(model) == expected
            assert model.taken == model.pieces
            assert model.body.size == 0
            bodies.close(model.body)
        assert (len(bodies), bodies.full) == (0, False)

    run(play())


@given(st.lists(st.integers(0, 2), max_size=40), st.booleans())
def test_the_limits_hold_and_everything_is_given_back(order: list[int], fail: bool) -> None:
    async def play() -> None:
        budget = ReadBudget(10**6)
        bodies = Bodies(budget)
        opened = [bodies.open() for _ in range(3)]
        seqs = [0, 0, 0]
        for number in order:
            for _ in range(40):
                if budget.full:
                    break
                seqs[number] += 1
                _send(bodies, opened[number].id, seqs[number], b"x", False, None)
        assert all(body.waiting <= MAX_WAITING_PIECES for body in opened)
        if fail:
            bodies.fail_all(ClientClosedError("closed"))
            assert not budget.full
        for body, seq in zip(opened, seqs, strict=True):
            for _ in range(seq):
                assert await body.take() == b"x"
        assert not budget.full
        for body in opened:
            bodies.close(body)
        assert len(bodies) == 0

    run(play())


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"requestId": 5, "seq": 1, "deltaBase64": "", "done": True},
        {"requestId": "http-1", "seq": -1, "deltaBase64": "", "done": True},
        {"requestId": "http-1", "seq": 1, "deltaBase64": "*", "done": True},
        {"requestId": "http-1", "seq": 1, "deltaBase64": "", "done": "yes"},
    ],
)
def test_a_piece_of_the_wrong_shape_is_refused(params: Any) -> None:
    async def play() -> None:
        bodies = Bodies(ReadBudget(10**6))
        bodies.open()
        with pytest.raises(ValueError, match="wrong shape"):
            bodies.receive(params)

    run(play())


def test_an_error_is_raised_anew_each_time() -> None:
    async def play() -> None:
        bodies = Bodies(ReadBudget(10**6))
        body = bodies.open()
        _send(bodies, body.id, 1, b"", True, "broken")
        errors = []
        for _ in range(2):
            with pytest.raises(HttpBodyError) as caught:
                await body.take()
            errors.append(caught.value)
        assert errors[0] is not errors[1]

    run(play())
