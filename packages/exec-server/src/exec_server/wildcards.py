"""Wildcards in the text of peers: the one matcher for all of them. Pure.

A pattern comes from whoever connects, and so does the text that it is compared with. A regular
expression made of a pattern would go back and try again for every ``*``: a few dozen of them
take longer than the server lives, with the interpreter's lock held. Here nothing goes back.
All places in all patterns at which a match may stand are the bits of one number, and each
character of the text moves them all at once. The time is the length of the text times the
length of the patterns, divided by the bits of a machine word, whatever they say.

All of it is work for the interpreter, whose lock the event loop needs as well. So one comparison
is made at a time, in whatever threads they are asked for: however many there are, the loop has
one of them to share with.

What a pattern *means* differs from grammar to grammar, so each has its own function that takes
patterns apart into tokens.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["ANY", "STAR", "Matcher", "Ranges", "Token", "fold", "stars_and_marks"]

Ranges = tuple[tuple[int, int], ...]
"""Characters, by code point: pairs of the first and the last of a range."""

Token = Ranges | None
"""One character of a set, or ``STAR``."""

STAR: Final = None
"""Any number of any characters."""

ANY: Final[Ranges] = ((0, 0x10FFFF),)
"""One character, whichever."""

_REMEMBERED_CHARACTERS: Final = 256
"""What a character does is looked up once. Texts of peers may hold a million different ones."""


_turn: Final = threading.Lock()


class Matcher:
    """Tells whether a whole text matches any of some patterns.

    State ``i`` of a pattern means that ``i`` of its characters have been found; a ``STAR``
    lets a match stay where it is. The states of all patterns lie one after the other.

    Args:
        patterns: Each as its tokens.
    """

    __slots__ = ("_after", "_final", "_known", "_places", "_start", "_stay")

    def __init__(self, patterns: Iterable[Sequence[Token]]) -> None:
        self._start = self._stay = self._final = 0
        entered: list[tuple[int, int, int]] = []  # first and last code point, state that follows
        state = 0
        for tokens in patterns:
            self._start |= 1 << state
            for token in tokens:
                if token is STAR:
                    self._stay |= 1 << state
                else:
                    state += 1
                    entered += [(first, last, state) for first, last in _apart(token)]
            self._final |= 1 << state
            state += 1
        self._places, self._after = _table(entered)
        self._known: dict[str, int] = {}

    def matches(self, text: str) -> bool:
        """Return whether all of ``text`` is matched. Not for the event loop: it would wait."""
        with _turn:
            return self._matches(text)

    def _matches(self, text: str) -> bool:
        states, stay, known = self._start, self._stay, self._known
        for character in text:
            enter = known.get(character)
            if enter is None:
                enter = self._look_up(character)
            states = (states << 1 & enter) | (states & stay)
            if not states:
                return False
        return bool(states & self._final)

    def _look_up(self, character: str) -> int:
        """Return the states that a character leads to."""
        if len(self._known) >= _REMEMBERED_CHARACTERS:
            self._known.clear()
        enter = self._after[bisect_right(self._places, ord(character))]
        self._known[character] = enter
        return enter


def _apart(ranges: Ranges) -> list[tuple[int, int]]:
    """Return the same characters in ranges that do not overlap."""
    apart: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if apart and first <= apart[-1][1] + 1:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return apart


def _table(entered: Iterable[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """Return code points in order, and the states that the characters from each on lead to.

    The second list begins with those before the first code point, and is one longer.
    """
    changes: dict[int, int] = {}
    for first, last, state in entered:
        # Ranges of one state do not overlap, so that its bit is off, on, off.
        for place in (first, last + 1):
            changes[place] = changes.get(place, 0) ^ (1 << state)
    places = sorted(changes)
    after = [0]
    for place in places:
        after.append(after[-1] ^ changes[place])
    return places, after


def fold(text: str) -> str:
    """Return text without differences of case, with as many characters as before.

    Each character becomes its lower case, alone: a long s is no ``s``, and a final sigma no other.
    """
    if text.isascii():
        return text.lower()
    return "".join([low if len(low := character.lower()) == 1 else character for character in text])


def stars_and_marks(pattern: str) -> list[Token]:
    """Return the tokens of a pattern with ``*`` and ``?``; all else stands for itself."""
    return [
        STAR if character == "*" else ANY if character == "?" else ((ord(character),) * 2,)
        for character in pattern
    ]
