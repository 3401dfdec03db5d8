"""Futures that follow each other: a result forwards, a cancellation goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["hand_on", "then"]

S = TypeVar("S")
T = TypeVar("T")


def hand_on(source: asyncio.Future[T], target: asyncio.Future[T]) -> None:
    """Settle ``target`` as ``source`` is settled; cancelling ``target`` cancels ``source``."""
    _follow(source, target, lambda value: value)


def then(source: asyncio.Future[S], function: Callable[[S], T]) -> asyncio.Future[T]:
    """Return a future of what ``function`` makes of the result of ``source``."""
    target: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    _follow(source, target, function)
    return target


def _follow(
    source: asyncio.Future[S], target: asyncio.Future[T], function: Callable[[S], T]
) -> None:
    def forward(done: asyncio.Future[S]) -> None:
        if target.done():
            return
        if done.cancelled():
            target.cancel()
            return
        error = done.exception()
        if error is not None:
            target.set_exception(error)
        else:
            target.set_result(function(done.result()))

    def backward(done: asyncio.Future[T]) -> None:
        if done.cancelled():
            source.cancel()

    source.add_done_callback(forward)
    target.add_done_callback(backward)
