"""What a worker returns is checked before it is passed on as text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from exec_server.workers.result_text import check_of
from exec_server_protocol.errors import MalformedMessageError, MessageTooLargeError
from exec_server_protocol.methods import REQUESTS
from exec_server_protocol.path_uri import PathUri
from hypothesis import given
from hypothesis import strategies as st

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
uris = st.binary(min_size=1, max_size=20).map(lambda raw: str(PathUri.from_native(b"/" + raw)))


def accepts(op: str, *pieces: bytes) -> bool:
    check = check_of(op)
    try:
        for piece in pieces[:-1]:
            check.piece(piece, last=False)
        check.piece(pieces[-1], last=True)
    except MalformedMessageError:
        return False
    return True


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def test_every_operation_that_a_worker_is_asked_has_a_check() -> None:
    asked = {name for name in REQUESTS if name.startswith("fs/")} - {"fs/watchMissing"}
    for op in (*asked, "fs/checkMissing"):
        assert not accepts(op, b'{"x":1},"id":7'), op


def texts_of(op: str, pieces: list[bytes], limit_bytes: int) -> list[bytes]:
    check = check_of(op, limit_bytes)
    texts = [check.encode(piece, last=False) for piece in pieces[:-1]]
    return [*texts, check.encode(pieces[-1], last=True)]


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.binary(max_size=30))
def test_bytes_become_base64_however_they_are_cut(pieces: list[bytes], end: bytes) -> None:
    data = b"".join(pieces) + end
    text = base64.b64encode(data).decode()
    pieces = [*pieces, end]
    file = b"".join(texts_of("fs/readFile", pieces, 1000))
    assert file == b'{"dataBase64":"%b"}' % text.encode()
    for limit in (len(data), len(data) + 1):
        block = b"".join(texts_of("fs/readBlock", pieces, limit))
        assert json.loads(block) == {"chunk": text, "eof": limit > len(data)}
        assert block.startswith(b'{"chunk":"%b","eof":' % text.encode())


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5), st.integers(0, 44))
def test_more_bytes_than_there_may_be_do_not_pass(pieces: list[bytes], limit: int) -> None:
    size = sum(map(len, pieces))
    for op in ("fs/readFile", "fs/readBlock"):
        if size <= limit:
            texts_of(op, pieces, limit)
        else:
            with pytest.raises(MessageTooLargeError):
                texts_of(op, pieces, limit)


def test_bytes_pass_where_they_belong_and_text_does_not() -> None:
    for op in ("fs/getMetadata", "fs/readDirectory", "fs/walk", "fs/writeFile", "fs/checkMissing"):
        for last in (True, False):
            with pytest.raises(MalformedMessageError):
                check_of(op).encode(b"{}", last=last)
    for op, text in (
        ("fs/readFile", b'{"dataBase64":"YQ=="}'),
        ("fs/readBlock", b'{"chunk":"YQ==","eof":true}'),
        ("fs/readBlock", b"{}"),
    ):
        assert not accepts(op, text)
        assert not accepts(op, text[:1], text[1:])


def test_a_worker_cannot_send_nothing_for_ever() -> None:
    check = check_of("fs/readFile")
    check.encode(b"a", last=False)
    with pytest.raises(MalformedMessageError):
        check.encode(b"", last=False)


@given(st.lists(st.tuples(names, st.booleans(), st.booleans()), max_size=6), st.data())
def test_listings_pass_however_they_are_cut_between_items(
    entries: list[tuple[str, bool, bool]], data: st.DataObject
) -> None:
    items = [
        dump({"fileName": name, "isDirectory": directory, "isFile": file})
        for name, directory, file in entries
    ]
    items = items[:1] + [b"," + item for item in items[1:]]
    texts = [b'{"entries":[', *items, b"]}"]
    cut = data.draw(st.integers(0, len(texts) - 1))
    assert accepts("fs/readDirectory", b"".join(texts))
    assert accepts("fs/readDirectory", *texts)
    assert accepts("fs/readDirectory", b"".join(texts[: cut + 1]), b"".join(texts[cut + 1 :])) is (
        cut < len(texts) - 1
    )
    for place in range(1, len(texts) - 1):
        without = texts[:place] + texts[place + 1 :]
        # Without its first item a list would begin with a comma.
        assert accepts("fs/readDirectory", *without) is not (place == 1 and len(items) > 1)


@given(st.lists(st.tuples(uris, st.booleans()), max_size=5), st.lists(uris, max_size=3))
def test_walks_pass_in_pieces_and_whole(found: list[tuple[str, bool]], failed: list[str]) -> None:
    entries = [dump({"path": u, "kind": "file" if f else "directory"}) for u, f in found]
    errors = [
        dump({"path": u, "message": "No such file or directory (os error 2)"}) for u in failed
    ]
    texts = [
        b'{"entries":[',
        *(b"," * (number > 0) + item for number, item in enumerate(entries)),
        b'],"errors":[',
        *(b"," * (number > 0) + item for number, item in enumerate(errors)),
        b'],"truncated":false}',
    ]
    assert accepts("fs/walk", b"".join(texts))
    assert accepts("fs/walk", *texts)
    assert not accepts("fs/walk", *texts[:-1])
    assert not accepts("fs/walk", *texts, b"{}")


@pytest.mark.parametrize(
    "text",
    [
        rb'{"entries":[{"fileName":"\ud800","isDirectory":false,"isFile":true}]}',
        rb'{"entries":[{"fileName":"\q","isDirectory":false,"isFile":true}]}',
        b'{"entries":[{"fileName":"\n","isDirectory":false,"isFile":true}]}',
        b'{"entries":[{"fileName":"a","isDirectory":false,"isFile":true},]}',
        b'{"entries":[]},"id":1,"x":{}',
        b'{"entries":[] }',
        b"",
    ],
)
def test_listings_that_are_no_json_or_too_much_of_it_do_not_pass(text: bytes) -> None:
    assert not accepts("fs/readDirectory", text)


def test_half_a_pair_of_surrogates_does_not_pass_and_a_whole_one_does() -> None:
    entry = b'{"entries":[{"fileName":"%b","isDirectory":false,"isFile":true}]}'
    assert accepts("fs/readDirectory", entry % rb"\ud83d\ude00")
    for half in (rb"\ud83d", rb"\ude00", rb"\ude00\ud83d", rb"\ud83dx"):
        assert not accepts("fs/readDirectory", entry % half)


def test_what_completes_a_text_after_any_piece_makes_json_of_it() -> None:
    check = check_of("fs/readDirectory")
    text = b""
    for piece in (b'{"entries":[', b'{"fileName":"a","isDirectory":false,"isFile":true}'):
        check.piece(piece, last=False)
        text += piece
        assert json.loads(text + check.closing)
    check = check_of("fs/readFile")
    text = b""
    for piece in (b"a", b"bc", b"defghij"):
        text += check.encode(piece, last=False)
        assert set(json.loads(text + check.closing)) == {"dataBase64"}
