"""Grammar of a worker's results: JSON text that may be spliced into an answer.

A worker that has been taken over could end the answer early and forge others. So text of its
own is checked before it goes to the client as it is: each operation has a grammar that leaves
no room for that, looked at with regular expressions, piece by piece, as the pieces come.
The bytes of files come as bytes. Their text is made here, and is what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

import pybase64
from exec_server_protocol.errors import MalformedMessageError, MessageTooLargeError
from exec_server_protocol.helper import BULK_RESULTS
from exec_server_protocol.limits import READ_FILE_MAX_BYTES

__all__ = ["ResultCheck", "check_of", "is_checked"]

_STRING: Final = (
    rb'"(?:[ !#-\[\]-~]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    rb'|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+"'
)
_URI: Final = rb'"file://[ !#-\[\]-~]*+"'
_BOOL: Final = rb"(?:true|false)"
_NUMBER: Final = rb"[0-9]{1,20}"
_BASE64: Final = rb'"[+/-9A-Za-z]*+={0,2}"'


class ResultCheck(Protocol):
    """Checks one result."""

    closing: bytes
    """What completes the JSON text after any piece but the last; empty if nothing can."""

    def piece(self, text: bytes, *, last: bool) -> None:
        """Check the next piece.

        Raises:
            MalformedMessageError: It is not what the operation returns.
        """

    def encode(self, data: bytes | memoryview, *, last: bool) -> bytes:
        """Return the next piece of the text for bytes, which may be cut anywhere.

        Raises:
            MalformedMessageError: The operation returns no bytes.
            MessageTooLargeError: It returns fewer.
        """


def _malformed() -> MalformedMessageError:
    return MalformedMessageError("not a result of the operation")


class _Text:
    """A result without bytes."""

    def encode(self, data: bytes | memoryview, *, last: bool) -> bytes:
        raise _malformed()


class _Whole(_Text):
    """A result that comes in one piece."""

    closing = b""

    def __init__(self, pattern: bytes) -> None:
        self._match = re.compile(pattern).fullmatch

    def piece(self, text: bytes, *, last: bool) -> None:
        if not last or self._match(text) is None:
            raise _malformed()


class _Bulk:
    """A result of bytes.

    Args:
        head: Text before them, in base64.
        tail: Text behind as many as there may be.
        short_tail: The same when there are fewer.
        closing: What completes the text.
        limit_bytes: How many there may be.
    """

    def __init__(
        self, head: bytes, tail: bytes, short_tail: bytes, closing: bytes, limit_bytes: int
    ) -> None:
        self.closing = closing
        self._head = head
        self._tail = tail
        self._short_tail = short_tail
        self._left_bytes = limit_bytes
        self._rest = b""

    def piece(self, text: bytes, *, last: bool) -> None:
        raise _malformed()

    def encode(self, data: bytes | memoryview, *, last: bool) -> bytes:
        if not data and not last:
            raise _malformed()  # it could go on for ever
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise MessageTooLargeError("the bytes of a file")
        head, self._head = self._head, b""
        if self._rest:
            data = self._rest + bytes(data)
        if last:
            tail = self._short_tail if self._left_bytes else self._tail
            return b"%b%b%b" % (head, pybase64.b64encode(data), tail)
        # Three bytes are four characters; what is left over waits.
        cut = len(data) // 3 * 3
        self._rest = bytes(data[cut:])
        text = pybase64.b64encode(memoryview(data)[:cut])
        return head + text if head else text


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


class _ListsState(_Text):
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
        rb'"modifiedAtMs":%b(?:,"fileMode":%b,"userId":%b,"groupId":%b)?\}'
        % (_BOOL, _BOOL, _BOOL, *[_NUMBER] * 6)
    ),
    "fs/copy": _Whole(rb'\{(?:"skipped":\[(?:%b(?:,%b)*+)?\])?\}' % (_URI, _URI)),
    "fs/readLink": _Whole(rb'\{"targetBase64":%b\}' % _BASE64),
    "fs/canonicalize": _Whole(rb'\{"path":%b\}' % _URI),
    "fs/open": _Whole(rb'\{"handleId":%b\}' % _STRING),
    "fs/checkMissing": _Whole(rb'\{"present":\[(?:%b(?:, ?%b)*+)?\]\}' % (_STRING, _STRING)),
    **dict.fromkeys(
        (
            "fs/close",
            "fs/createDirectory",
            "fs/createSymlink",
            "fs/move",
            "fs/remove",
            "fs/setMetadata",
            "fs/writeBlock",
            "fs/writeFile",
        ),
        _EMPTY,
    ),
}

_DIRECTORY: Final = _Lists(
    b'{"entries":[',
    (
        rb'\{"fileName":%b,"isDirectory":%b,"isFile":%b(?:,"isSymlink":%b'
        rb'(?:,"size":%b,"modifiedAtMs":%b,"fileMode":%b)?(?:,"nameBase64":%b)?)?\}'
        % (_STRING, _BOOL, _BOOL, _BOOL, *[_NUMBER] * 3, _BASE64),
    ),
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


_TAILS: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "fs/readFile": (b'"}', b'"}'),
    "fs/readBlock": (b'","eof":false}', b'","eof":true}'),
}
"""What follows as many bytes as there may be, and fewer."""


def check_of(op: str, limit_bytes: int = READ_FILE_MAX_BYTES) -> ResultCheck:
    """Return what checks one result of an operation.

    Args:
        op: Its name.
        limit_bytes: Of its bulk member, before it is base64.
    """
    whole = _WHOLE.get(op)
    if whole is not None:
        return whole
    member = BULK_RESULTS.get(op)
    if member is not None:
        tail, short_tail = _TAILS[op]
        # Blocks are never long enough to be sent in pieces.
        closing = tail if op == "fs/readFile" else b""
        return _Bulk(b'{"%b":"' % member.encode(), tail, short_tail, closing, limit_bytes)
    return {"fs/readDirectory": _DIRECTORY, "fs/walk": _WALK}[op].fresh()


def is_checked(op: str) -> bool:
    """Whether there is a grammar for the results of an operation."""
    try:
        check_of(op)
    except KeyError:
        return False
    return True
