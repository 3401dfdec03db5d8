"""Checking the JSON text that a worker returns, before it is spliced into an answer.

The text goes to the client as it is, so a worker that has been taken over could end the
answer early and forge others. Each operation has a grammar that leaves no room for that. It
is checked piece by piece, as the pieces come: with regular expressions, and base64 by
decoding it, which is faster than any of them.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final, Protocol

import pybase64
from exec_server_protocol.errors import MalformedMessageError

__all__ = ["ResultCheck", "check_of", "is_checked"]

_STRING: Final = (
    rb'"(?:[ !#-\[\]-~]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    rb'|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+"'
)
_URI: Final = rb'"file://[ !#-\[\]-~]*+"'
_BOOL: Final = rb"(?:true|false)"
_NUMBER: Final = rb"[0-9]{1,20}"


class ResultCheck(Protocol):
    """Checks one result."""

    closing: bytes
    """What completes the JSON text after any piece but the last; empty if nothing can."""

    def piece(self, text: bytes, *, last: bool) -> None:
        """Check the next piece.

        Raises:
            MalformedMessageError: It is not what the operation returns.
        """


def _malformed() -> MalformedMessageError:
    return MalformedMessageError("not a result of the operation")


class _Whole:
    """A result that comes in one piece."""

    closing = b""

    def __init__(self, pattern: bytes) -> None:
        self._match = re.compile(pattern).fullmatch

    def piece(self, text: bytes, *, last: bool) -> None:
        if not last or self._match(text) is None:
            raise _malformed()


class _Base64:
    """A result with one bulk member; pieces are cut at multiples of four characters."""

    def __init__(self, head: bytes, tails: tuple[bytes, ...]) -> None:
        self._head = head
        self._tails = tails
        self.closing = tails[0]
        self._begun = False

    def piece(self, text: bytes, *, last: bool) -> None:
        start, end = 0, len(text)
        if not self._begun:
            if not text.startswith(self._head):
                raise _malformed()
            start, self._begun = len(self._head), True
        if last:
            tail = next((tail for tail in self._tails if text.endswith(tail)), None)
            if tail is None:
                raise _malformed()
            end -= len(tail)
        elif text.endswith(b"="):
            raise _malformed()
        if end < start:
            raise _malformed()
        try:
            pybase64.b64decode(memoryview(text)[start:end], validate=True)
        except (binascii.Error, ValueError) as error:
            raise _malformed() from error


class _Lists:
    """A result made of lists; pieces are cut between two items.

    Args:
        head: Text before the first list.
        items: Pattern of the items of each list.
        between: Text between two lists.
        tail: Pattern of what follows the last list.
    """

    def __init__(self, head: bytes, items: tuple[bytes, ...], between: bytes, tail: bytes) -> None:
        self._head = head
        self._first = [re.compile(rb"(?:%b(?:,%b)*+)?+" % (item, item)).match for item in items]
        self._more = [re.compile(rb"(?:,%b)*+" % item).match for item in items]
        self._between = between
        self._tail = re.compile(tail).match
        self.closing = b""

    def fresh(self) -> _ListsState:
        return _ListsState(self)


class _ListsState:
    def __init__(self, grammar: _Lists) -> None:
        self._grammar = grammar
        self._list = -1
        self._empty = True
        self.closing = grammar.closing

    def piece(self, text: bytes, *, last: bool) -> None:
        grammar, at = self._grammar, 0
        if self._list < 0:
            if not text.startswith(grammar._head):
                raise _malformed()
            at, self._list = len(grammar._head), 0
        while True:
            patterns = grammar._first if self._empty else grammar._more
            found = patterns[self._list](text, at)
            if found is not None and found.end() > at:
                at, self._empty = found.end(), False
            if self._list + 1 == len(grammar._first) or not text.startswith(grammar._between, at):
                break
            at, self._list, self._empty = at + len(grammar._between), self._list + 1, True
        if last:
            tail = grammar._tail(text, at)
            if self._list + 1 < len(grammar._first) or tail is None:
                raise _malformed()
            at = tail.end()
        if at != len(text):
            raise _malformed()


_EMPTY: Final = _Whole(rb"\{\}")

_WHOLE: Final[Mapping[str, _Whole]] = {
    "fs/getMetadata": _Whole(
        rb'\{"isDirectory":%b,"isFile":%b,"isSymlink":%b,"size":%b,"createdAtMs":%b,'
        rb'"modifiedAtMs":%b\}' % (_BOOL, _BOOL, _BOOL, _NUMBER, _NUMBER, _NUMBER)
    ),
    "fs/canonicalize": _Whole(rb'\{"path":%b\}' % _URI),
    "fs/open": _Whole(rb'\{"handleId":%b\}' % _STRING),
    "fs/checkMissing": _Whole(rb'\{"present":\[(?:%b(?:, ?%b)*+)?\]\}' % (_STRING, _STRING)),
    **dict.fromkeys(
        (
            "fs/close",
            "fs/copy",
            "fs/createDirectory",
            "fs/move",
            "fs/remove",
            "fs/writeBlock",
            "fs/writeFile",
        ),
        _EMPTY,
    ),
}

_DIRECTORY: Final = _Lists(
    b'{"entries":[',
    (rb'\{"fileName":%b,"isDirectory":%b,"isFile":%b\}' % (_STRING, _BOOL, _BOOL),),
    b"",
    rb"\]\}",
)
_DIRECTORY.closing = b"]}"

_WALK: Final = _Lists(
    b'{"entries":[',
    (
        rb'\{"path":%b,"kind":"(?:directory|file)"\}' % _URI,
        rb'\{"path":%b,"message":%b\}' % (_URI, _STRING),
    ),
    b'],"errors":[',
    rb'\],"truncated":%b\}' % _BOOL,
)


def check_of(op: str) -> ResultCheck:
    """Return what checks one result of an operation."""
    whole = _WHOLE.get(op)
    if whole is not None:
        return whole
    if op == "fs/readFile":
        return _Base64(b'{"dataBase64":"', (b'"}',))
    if op == "fs/readBlock":
        return _Base64(b'{"chunk":"', (b'","eof":true}', b'","eof":false}'))
    return {"fs/readDirectory": _DIRECTORY, "fs/walk": _WALK}[op].fresh()


def is_checked(op: str) -> bool:
    """Whether there is a grammar for the results of an operation."""
    try:
        check_of(op)
    except KeyError:
        return False
    return True
