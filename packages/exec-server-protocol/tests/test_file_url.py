"""The text of path URIs: what every spelling becomes, and what is refused."""

from __future__ import annotations

import pytest
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from hypothesis import example, given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "uri", "native"),
    [
        ("file:///tmp", "file:///tmp", b"/tmp"),
        ("file:/tmp", "file:///tmp", b"/tmp"),
        ("file:tmp", "file:///tmp", b"/tmp"),
        ("file:", "file:///", b"/"),
        ("file:.", "file:///", b"/"),
        ("file:/", "file:///", b"/"),
        ("file://", "file:///", b"/"),
        ("file:///", "file:///", b"/"),
        ("FILE:///x", "file:///x", b"/x"),
        ("File:x", "file:///x", b"/x"),
        ("file://localhost/tmp", "file:///tmp", b"/tmp"),
        ("file://LocalHost/tmp", "file:///tmp", b"/tmp"),
        ("file://%6cocalhost/tmp", "file:///tmp", b"/tmp"),
        ("file://LOCALHOST", "file:///", b"/"),
        ("file:///a/./b/../c", "file:///a/c", b"/a/c"),
        ("file:///a/%2E%2e/b/.%2e/c/%2e", "file:///c/", b"/c"),
        ("file:///a/%2e./b", "file:///b", b"/b"),
        ("file:///a/...", "file:///a/...", b"/a/..."),
        ("file:///a%2e%2e/b", "file:///a%2e%2e/b", b"/a../b"),
        ("file:///../../x", "file:///x", b"/x"),
        ("file:///a/b/..", "file:///a/", b"/a"),
        ("file:///a/.", "file:///a/", b"/a"),
        ("file:///a//b", "file:///a//b", b"/a/b"),
        ("file:///a////../b", "file:///a///b", b"/a/b"),
        ("file:////a", "file:///a", b"/a"),
        ("file:////../a", "file:///a", b"/a"),
        ("file:///a/", "file:///a/", b"/a"),
        ("file:\\a\\b", "file:///a/b", b"/a/b"),
        ("file:///a\\..\\b", "file:///b", b"/b"),
        ("  file:///a\tb\nc\r  ", "file:///abc", b"/abc"),
        ("\x00 file:///a\x01", "file:///a", b"/a"),
        ("fi\tle:///a", "file:///a", b"/a"),
        ("file:///a b\"<>`{}é", "file:///a%20b%22%3C%3E%60%7B%7D%C3%A9", 'a b"<>`{}é'.encode()),
        ("file:///a\x01\x7f", "file:///a%01%7F", b"/a\x01\x7f"),
        ("file:///a\xa0", "file:///a%C2%A0", b"/a\xc2\xa0"),
        ("file:///!$&'()*+,;=@:[]^_|~", "file:///!$&'()*+,;=@:[]^_|~", b"/!$&'()*+,;=@:[]^_|~"),
        ("file:///%zz%4", "file:///%zz%4", b"/%zz%4"),
        ("file:///%e9%E9", "file:///%e9%E9", b"/\xe9\xe9"),
        ("file:///d%2Fone", "file:///d%2Fone", b"/d/one"),
        ("file:///%FF", "file:///%FF", b"/\xff"),
        ("file:///.git/config", "file:///.git/config", b"/.git/config"),
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
        ("file:///c:", "file:///C:"),
        ("file:c:/x", "file:///C:/x"),
        ("file:c|/x", "file:///C:/x"),
        ("file:/c|\\x", "file:///C:/x"),
        ("file://c:/x", "file:///C:/x"),
        ("file://c|/x", "file:///C:/x"),
        ("file://h:/x", "file:///H:/x"),
        ("file:////c:/x", "file:///C:/x"),
        ("file:///a/../c:/x", "file:///C:/x"),
        ("file:///c%3a/x", "file:///C%3a/x"),
        ("file:///c%3A/x", "file:///C%3A/x"),
        ("file:///Z:/../../x", "file:///Z:/x"),
        ("file:///C:/a/../../..", "file:///C:/"),
        ("file:///C:/../D:/x", "file:///C:/D:/x"),
        ("file:///C://x", "file:///C://x"),
        ("file://host/c:/x", "file:///C:/x"),
        ("file://host/c|/x", "file:///C:/x"),
        ("file://host//c:/x", "file:///C:/x"),
        ("file://Server/share/x", "file://server/share/x"),
        ("file://Server/a/../../x", "file://server/x"),
        ("file://server///x//y", "file://server/x//y"),
        ("file://server", "file://server/"),
        ("file:\\\\server\\x", "file://server/x"),
        ("file://H%41/x", "file://ha/x"),
        ("file://é/x", "file://xn--9ca/x"),
    ],
)
def test_windows_paths_are_understood_and_mean_nothing_here(text: str, uri: str) -> None:
    parsed = PathUri.parse(text)
    assert str(parsed) == uri
    assert parsed.is_windows
    assert PathUri.parse(uri) == parsed
    with pytest.raises(InvalidPathError, match="is invalid on") as caught:
        parsed.to_native()
    assert uri in str(caught.value)


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("file:///c|/x", b"/c|/x"),
        ("file:///a/../c|/x", b"/c|/x"),
        ("file:///c:x", b"/c:x"),
        ("file:///C:%2Fx", b"/C:/x"),
        ("file:///%43:/x", b"/C:/x"),
        ("file:///c%3A/../x", b"/x"),
        ("file:///é:/x", "/é:/x".encode()),
        ("file:///a/c:/x", b"/a/c:/x"),
    ],
)
def test_what_only_looks_like_a_drive_is_an_ordinary_name(text: str, native: bytes) -> None:
    parsed = PathUri.parse(text)
    assert not parsed.is_windows
    assert parsed.to_native() == native
    assert PathUri.parse(str(parsed)) == parsed


def test_dots_stop_at_what_is_spelled_like_a_drive_at_any_depth() -> None:
    assert str(PathUri.parse("file:///a/C:/b/../../../x")) == "file:///a/C:/x"
    assert str(PathUri.parse("file:///a/c|/../x")) == "file:///a/c|/x"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("/srv/x", "starts with file:"),
        ("a.txt", "starts with file:"),
        ("~/x", "starts with file:"),
        ("", "starts with file:"),
        ("file", "starts with file:"),
        (":x", "starts with file:"),
        ("fi le:///x", "starts with file:"),
        ("1file:///x", "starts with file:"),
        ("\xa0file:///x", "starts with file:"),
        ("\\\\srv\\share", "starts with file:"),
        ("http://x", "scheme 'http'"),
        ("C:\\x", "scheme 'c'"),
        ("untitled:x", "scheme 'untitled'"),
        ("file:///a?q", "query"),
        ("file:///a?", "query"),
        ("file://host?q", "query"),
        ("file:///a?#", "query"),
        ("file:///a#f", "fragment"),
        ("file:///a#", "fragment"),
        ("file:///a#?", "fragment"),
        ("file://user@host/x", "host"),
        ("file://u:p@host/x", "host"),
        ("file://host:80/x", "host"),
        ("file://localhost:80/x", "host"),
        ("file://a%2fb/x", "host"),
        ("file://a%00b/x", "host"),
        ("file://%ff/x", "host|domain"),
        ("file://..é/x", "domain"),
        ("file://local\u200dhost/x", "domain"),
        ("file://\uff4cocalhost/x", "domain"),
        ("file:///a%00b", "is invalid on"),
        ("file:///a\x00b", "is invalid on"),
        ("file:///%00", "is invalid on"),
        ("file://host/%00/x", "is invalid on"),
        ("file:///C:/%00", "is invalid on"),
        ("file:///\ud800", "surrogate"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidPathError, match=complaint):
        PathUri.parse(text)


def test_a_nul_that_is_climbed_out_of_is_no_nul() -> None:
    assert str(PathUri.parse("file:///%00/../a")) == "file:///a"


@given(
    st.sampled_from(["file:", "file:/", "file://", "file:///", "file://h/", "file://localhost/"]),
    st.lists(
        st.sampled_from(
            ["/", "\\", "..", ".", "%2e", "c:", "C|", "c%3a", "a", "é", " ", "%2F", "%zz", "%00"]
        )
        | st.characters(),
        max_size=9,
    ),
)
@example("file://h/", ["/", "C|", "/", "a"])
@example("file:///", ["C|", "/", "a"])
def test_parsing_anything_gives_a_uri_that_stays_as_it_is_or_a_clear_error(
    start: str, parts: list[str]
) -> None:
    try:
        uri = PathUri.parse(start + "".join(parts))
    except InvalidPathError:
        return
    text = str(uri)
    assert text.isascii()
    assert PathUri.parse(text) == uri
    assert str(PathUri.parse(text)) == text


@given(st.text("abz.-_/:|~%", max_size=12))
def test_the_quick_way_for_plain_texts_changes_nothing(text: str) -> None:
    # A tab in the scheme means nothing and keeps a text from being plain.
    assert_same(f"file:///{text}", f"fi\tle:///{text}")


def assert_same(left: str, right: str) -> None:
    outcomes = []
    for text in (left, right):
        try:
            outcomes.append(str(PathUri.parse(text)))
        except InvalidPathError as error:
            outcomes.append(f"refused: {error}")
    assert outcomes[0] == outcomes[1]
