"""Path URIs: what they spell, what is refused, and the way back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from hypothesis import given
from hypothesis import strategies as st

STAY = b"!$&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz|~"


@pytest.mark.parametrize(
    ("text", "uri", "native"),
    [
        ("file:///tmp", "file:///tmp", b"/tmp"),
        ("file:/tmp", "file:///tmp", b"/tmp"),
        ("file:tmp", "file:///tmp", b"/tmp"),
        ("file:", "file:///", b"/"),
        ("file://", "file:///", b"/"),
        ("FILE:///", "file:///", b"/"),
        ("file://LocalHost/tmp", "file:///tmp", b"/tmp"),
        ("file:///a/./b/../c", "file:///a/c", b"/a/c"),
        ("file:///a/%2E%2e/b/.%2e/c/%2e", "file:///c/", b"/c"),
        ("file:///../../x", "file:///x", b"/x"),
        ("file:///a//b", "file:///a//b", b"/a/b"),
        ("file:////a", "file:////a", b"/a"),
        ("file:///a/", "file:///a/", b"/a"),
        ("file:\\a\\b", "file:///a/b", b"/a/b"),
        ("  file:///a\tb\nc  ", "file:///abc", b"/abc"),
        ("file:///a b\"<>`{}é", "file:///a%20b%22%3C%3E%60%7B%7D%C3%A9", 'a b"<>`{}é'.encode()),
        ("file:///%zz%4", "file:///%zz%4", b"/%zz%4"),
        ("file:///d%2Fone", "file:///d%2Fone", b"/d/one"),
        ("file:///%FF", "file:///%FF", b"/\xff"),
    ],
)  # fmt: skip
def test_spellings(text: str, uri: str, native: bytes) -> None:
    parsed = PathUri.parse(text)
    assert str(parsed) == uri
    assert parsed.to_native() == (native if native.startswith(b"/") else b"/" + native)
    assert PathUri.parse(uri) == parsed
    assert hash(PathUri.parse(uri)) == hash(parsed)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("file:///c:/x", "file:///C:/x"),
        ("file:///c%3a/x", "file:///C%3A/x"),
        ("file:///C|/x", "file:///C:/x"),
        ("file:///Z:/../../x", "file:///Z:/x"),
        ("file://Server/share/x", "file://server/share/x"),
    ],
)
def test_windows_paths_are_understood_and_mean_nothing_here(text: str, uri: str) -> None:
    parsed = PathUri.parse(text)
    assert str(parsed) == uri
    assert parsed.is_windows
    with pytest.raises(InvalidPathError, match="is invalid on"):
        parsed.to_native()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("/srv/x", "starts with file:"),
        ("a.txt", "starts with file:"),
        ("", "starts with file:"),
        ("http://x", "scheme 'http'"),
        ("C:\\x", "scheme 'c'"),
        ("file:///a?q", "query"),
        ("file:///a?", "query"),
        ("file:///a#f", "fragment"),
        ("file:///a#", "fragment"),
        ("file://user@host/x", "host"),
        ("file://host:80/x", "host"),
        ("file:///a%00b", "is invalid on"),
        ("file:///a\x00b", "is invalid on"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidPathError, match=complaint):
        PathUri.parse(text)


def test_exactly_these_bytes_stand_for_themselves() -> None:
    for byte in range(1, 256):
        if byte == ord("/"):
            continue
        expected = chr(byte) if byte in STAY else f"%{byte:02X}"
        assert str(PathUri.from_native(b"/xy" + bytes([byte]))) == f"file:///xy{expected}"


segments = st.binary(min_size=1, max_size=12).filter(
    lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..")
)


@given(st.lists(segments, max_size=5))
def test_every_native_path_comes_back(parts: list[bytes]) -> None:
    path = b"/" + b"/".join(parts)
    uri = PathUri.from_native(path)
    assert uri.to_native() == path
    assert PathUri.parse(str(uri)) == uri


@pytest.mark.parametrize("path", [b"/a\0b", b"/C:/x", b"/c%3A", b"/a/../b"])
def test_paths_without_a_readable_uri_get_an_opaque_one(path: bytes) -> None:
    uri = PathUri.from_native(path)
    if path == b"/c%3A":
        assert str(uri) == "file:///c%253A"
    else:
        assert str(uri).startswith("file:///%00/bad/path/")
    assert PathUri.parse(str(uri)).to_native() == path


@pytest.mark.parametrize("payload", ["", "!", "L3RtcA", "YQ", "L2EAYg=="])
def test_opaque_uris_that_name_nothing_or_something_better_are_refused(payload: str) -> None:
    with pytest.raises(InvalidPathError):
        PathUri.parse(f"file:///%00/bad/path/{payload}")


@given(st.text(max_size=40))
def test_parsing_anything_gives_a_uri_that_stays_as_it_is_or_a_clear_error(text: str) -> None:
    try:
        uri = PathUri.parse(f"file:{text}")
    except InvalidPathError:
        return
    assert PathUri.parse(str(uri)) == uri


def test_relative_paths_have_no_uri() -> None:
    with pytest.raises(InvalidPathError):
        PathUri.from_native("a/b")


def test_helpers_follow_segments() -> None:
    uri = PathUri.parse("file:///a/b%20c/d")
    assert uri.basename == "d"
    assert uri.parent.basename == "b c"
    assert [str(a) for a in uri.ancestors] == [
        "file:///a/b%20c/d",
        "file:///a/b%20c",
        "file:///a",
        "file:///",
    ]
    assert PathUri.parse("file:///").parent == PathUri.parse("file:///")
    assert str(PathUri.parse("file:///C:/x").parent) == "file:///C:/"
    assert uri.starts_with(PathUri.parse("file:///a/"))
    assert not uri.starts_with(PathUri.parse("file:///a/b"))
    assert not PathUri.parse("file:///a%2Fb").starts_with(PathUri.parse("file:///a"))


@pytest.mark.parametrize(
    ("base", "text", "joined"),
    [
        ("file:///a", "b c", "file:///a/b%20c"),
        ("file:///a", "../../x", "file:///x"),
        ("file:///a", "/x/y", "file:///x/y"),
        ("file:///a", "100%?#", "file:///a/100%25%3F%23"),
        ("file:///C:/a", "..\\..\\b", "file:///C:/b"),
        ("file:///C:/a", "d:/x", "file:///D:/x"),
        ("file://host/share/a", "../../b", "file://host/share/b"),
    ],
)
def test_joining(base: str, text: str, joined: str) -> None:
    assert str(PathUri.parse(base).join(text)) == joined


@pytest.mark.parametrize(("base", "text"), [("file:///a", "x\0"), ("file:///C:/a", "d:x")])
def test_what_cannot_be_joined(base: str, text: str) -> None:
    with pytest.raises(InvalidPathError):
        PathUri.parse(base).join(text)


def test_a_uri_is_immutable() -> None:
    uri = PathUri.parse("file:///a")
    with pytest.raises(AttributeError):
        uri._path = "/b"
    with pytest.raises(TypeError):
        PathUri()


def test_the_light_modules_do_not_load_pydantic() -> None:
    code = (
        "import sys, exec_server_protocol.path_uri, exec_server_protocol.errors, "
        "exec_server_protocol.limits; sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
