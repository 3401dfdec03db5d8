"""How many reads of a connection wait for news at a time."""

from __future__ import annotations

from exec_server.rpc.long_polls import LongPolls


class _Poll:
    """Is counted out when it is answered, as the real ones are."""

    def __init__(self, polls: LongPolls, name: str, answered: list[str]) -> None:
        self._polls, self._name, self._answered = polls, name, answered
        polls.add(self)

    def answer(self) -> None:
        self._answered.append(self._name)
        self._polls.discard(self)


def test_the_oldest_is_answered_when_there_are_too_many() -> None:
    answered: list[str] = []
    polls = LongPolls(2)
    kept = [_Poll(polls, name, answered) for name in "abcd"]
    assert answered == ["a", "b"]
    polls.discard(kept[2])
    _Poll(polls, "e", answered)
    assert answered == ["a", "b"]
