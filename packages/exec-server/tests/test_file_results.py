"""What a worker returns is checked before it is passed on as text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from exec_server.filesystem.result_text import check_of
from exec_server_protocol.errors import MalformedMessageError
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


@given(st.lists(st.binary(min_size=1, max_size=30).map(lambda b: b * 3), max_size=4), st.binary())
def test_base64_passes_in_pieces_and_whole(pieces: list[bytes], end: bytes) -> None:
    texts = [base64.b64encode(piece) for piece in pieces]
    texts = [text for text in texts if not text.endswith(b"=")]
    whole = b'{"dataBase64":"' + b"".join(texts) + base64.b64encode(end) + b'"}'
    assert accepts("fs/readFile", whole)
    cut = [b'{"dataBase64":"', *texts, base64.b64encode(end) + b'"}']
    assert accepts("fs/readFile", *cut)
    assert accepts("fs/readBlock", b'{"chunk":"' + base64.b64encode(end) + b'","eof":true}')


@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from(b'"\\{}\n\x00\xff,:= -_'))
def test_base64_with_anything_else_in_it_does_not(data: bytes, at: int, other: int) -> None:
    text = base64.b64encode(data)
    at = min(at, len(text))
    spoiled = text[:at] + bytes([other]) + text[at:]
    assert not accepts("fs/readFile", b'{"dataBase64":"' + spoiled + b'"}')


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
    for op, pieces in (
        ("fs/readFile", [b'{"dataBase64":"', b"YWJj", b"YWJj"]),
        (
            "fs/readDirectory",
            [b'{"entries":[', b'{"fileName":"a","isDirectory":false,"isFile":true}'],
        ),
    ):
        check = check_of(op)
        text = b""
        for piece in pieces:
            check.piece(piece, last=False)
            text += piece
            assert json.loads(text + check.closing)
