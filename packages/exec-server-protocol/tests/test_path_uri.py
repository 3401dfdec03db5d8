"""Path URIs: native paths and back, opaque ones, folders, the field of a model."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import posixpath
import subprocess
import sys

import pytest
from exec_server_protocol._path_uri_field import WirePathUri
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

STAY = b"!$&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz|~"


def opaque(raw: bytes) -> str:
    payload = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return f"file:///%00/bad/path/{payload}"


# ---------------------------------------------------------------------- native paths


@pytest.mark.parametrize("byte", [byte for byte in range(1, 256) if byte != ord("/")])
def test_exactly_these_bytes_stand_for_themselves(byte: int) -> None:
    expected = chr(byte) if byte in STAY else f"%{byte:02X}"
    uri = PathUri.from_native(b"/xy" + bytes([byte]))
    assert str(uri) == f"file:///xy{expected}"
    assert uri.to_native() == b"/xy" + bytes([byte])


@pytest.mark.parametrize("byte", range(33, 127))
def test_a_text_is_encoded_as_a_native_path_is(byte: int) -> None:
    character = chr(byte)
    if character in "/\\?#%":
        return  # they have a meaning in a URI
    assert PathUri.parse(f"file:///xy{character}z") == PathUri.from_native(f"/xy{character}z")


segments = st.binary(min_size=1, max_size=12).filter(
    lambda raw: b"/" not in raw and raw not in (b".", b"..")
)


@given(st.lists(segments | st.sampled_from([b"C:", b"c|", b"c%3A", b"%00"]), max_size=5))
def test_every_native_path_comes_back(parts: list[bytes]) -> None:
    path = b"/" + b"/".join(parts)
    uri = PathUri.from_native(path)
    assert uri.to_native() == path
    assert PathUri.parse(str(uri)) == uri
    assert not uri.is_windows


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (b"/", "file:///"),
        (b"//", "file:///"),
        (b"//tmp", "file:///tmp"),
        (b"/tmp//a/./b/", "file:///tmp/a/b"),
        (b"/a/../b", "file:///b"),
        (b"/../x", "file:///x"),
        (b"/a/..", "file:///"),
        (b"/a\\b", "file:///a%5Cb"),
        (b"/a b#?%", "file:///a%20b%23%3F%25"),
        (b"/%00/bad/path/x", "file:///%2500/bad/path/x"),
        (b"/a/%2e%2e/b", "file:///a/%252e%252e/b"),
        (b"/a/C:/x", "file:///a/C:/x"),
        (b"/c|/x", "file:///c|/x"),
        (b"/c:x", "file:///c:x"),
        (b"/c%3A/x", "file:///c%253A/x"),
        (b"/C:/x", "file:///%00/bad/path/L0M6L3g"),
        (b"/c:", "file:///%00/bad/path/L2M6"),
        (b"/a\0b", "file:///%00/bad/path/L2EAYg"),
        (b"/\xff\xfe", "file:///%FF%FE"),
        ("/é", "file:///%C3%A9"),
        ("/\udcff", "file:///%FF"),
    ],
)  # fmt: skip
def test_native_paths_are_spelled_in_one_way(path: bytes | str, uri: str) -> None:
    assert str(PathUri.from_native(path)) == uri


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "c d"]), max_size=8))
def test_dots_of_a_native_path_collapse_as_text(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    expected = "/" + posixpath.normpath(path).lstrip("/")
    assert PathUri.from_native(path).to_native() == expected.encode()


def test_a_path_object_is_a_native_path(tmp_path: os.PathLike[str]) -> None:
    assert PathUri.from_native(tmp_path).to_native() == os.fsencode(tmp_path)


@pytest.mark.parametrize("path", ["a/b", "", "./a", b"a", "/\ud800"])
def test_relative_paths_and_broken_texts_have_no_uri(path: str | bytes) -> None:
    with pytest.raises(InvalidPathError):
        PathUri.from_native(path)


# ---------------------------------------------------------------------- opaque URIs


@pytest.mark.parametrize("raw", [b"/a\0b", b"/C:/x", b"/C:", b"/x:/\xff"])
def test_opaque_uris_give_back_their_bytes(raw: bytes) -> None:
    uri = PathUri.parse(opaque(raw))
    assert uri.is_opaque
    assert not uri.is_windows
    assert uri.to_native() == raw
    assert PathUri.from_native(raw) == uri


def test_an_opaque_uri_is_normalised_like_any_other_before_it_is_read() -> None:
    for text in (
        "file://localhost/%00/bad/path/L2EAYg",
        "file:///%00/bad/../bad/path/L2EAYg",
        "file:%00/bad/path/L2EAYg",
    ):
        assert PathUri.parse(text).to_native() == b"/a\0b"


@pytest.mark.parametrize(
    "raw",
    [b"/tmp", b"/tmp/", b"//tmp", b"/./tmp", b"/a/../b", b"tmp", b"\xff", b"/\xff", b"/c|/x",
     b"/c%3A/x", "C:\\x\0".encode("utf-16-le")],
)  # fmt: skip
def test_opaque_uris_of_no_path_or_of_one_with_a_better_uri_name_nothing(raw: bytes) -> None:
    uri = PathUri.parse(opaque(raw))
    with pytest.raises(InvalidPathError, match="is invalid on"):
        uri.to_native()
    for use in (lambda: uri.parent, lambda: uri.basename, lambda: uri.join("x")):
        with pytest.raises(InvalidPathError, match="is invalid on"):
            use()


@pytest.mark.parametrize(
    "tail",
    ["path/", "path", "path/!", "path/L2EAYg/", "path/L2EAYg=", "path/L2EAYh", "path/L2EAY",
     "/path/L2EAYg", "path/L2EA/Yg", "path/L2EA+_", "PATH/L2EAYg"],
)  # fmt: skip
def test_an_opaque_uri_has_one_spelling(tail: str) -> None:
    with pytest.raises(InvalidPathError, match="is invalid on"):
        PathUri.parse(f"file:///%00/bad/{tail}")


# ---------------------------------------------------------------------- pure helpers


def test_names_and_folders_follow_segments() -> None:
    uri = PathUri.parse("file:///a/b%20c/d")
    assert uri.basename == "d"
    assert uri.parent.basename == "b c"
    assert [str(ancestor) for ancestor in uri.ancestors] == [
        "file:///a/b%20c/d",
        "file:///a/b%20c",
        "file:///a",
        "file:///",
    ]
    assert PathUri.parse("file:///a/b/").parent == PathUri.parse("file:///a")
    assert PathUri.parse("file:///%FF").basename == "\ufffd"


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("file:///", "file:///"),
        ("file:///C:/x/y", "file:///C:/"),
        ("file:///C:", "file:///C:"),
        ("file://server/share/x/y", "file://server/share"),
        ("file://server/share", "file://server/share"),
        (opaque(b"/C:/x"), "file:///"),
    ],
)
def test_climbing_ends_at_a_root(text: str, root: str) -> None:
    last = PathUri.parse(text).ancestors[-1]
    assert str(last) == root
    assert last.parent == last
    assert last.basename == ""


def test_folders_of_an_opaque_path_are_those_of_the_path_it_carries() -> None:
    uri = PathUri.from_native(b"/C:/x\0/y z")
    assert uri.basename == "y z"
    assert [ancestor.to_native() for ancestor in uri.ancestors] == [
        b"/C:/x\0/y z",
        b"/C:/x\0",
        b"/C:",
        b"/",
    ]
    assert PathUri.parse("file:///").join("C:").to_native() == b"/C:"
    assert PathUri.from_native(b"/a\0").join("../b") == PathUri.parse("file:///b")


@pytest.mark.parametrize(
    ("base", "text", "joined"),
    [
        ("file:///a", "b c", "file:///a/b%20c"),
        ("file:///a/", "b", "file:///a/b"),
        ("file:///a", "", "file:///a"),
        ("file:///a", "./b//c/", "file:///a/b/c"),
        ("file:///a", "../../x", "file:///x"),
        ("file:///a", "/x/y", "file:///x/y"),
        ("file:///a", "100%?#", "file:///a/100%25%3F%23"),
        ("file:///a", "b\\c", "file:///a/b%5Cc"),
        ("file:///a%2Fb", "c", "file:///a%2Fb/c"),
        ("file:///a", "\udcff", "file:///a/%FF"),
        ("file:///C:/a", "..\\..\\b", "file:///C:/b"),
        ("file:///C:/a", "\\b", "file:///C:/b"),
        ("file:///C:/a", "d:/x/../y", "file:///D:/y"),
        ("file:///C:/a", "d:\\", "file:///D:/"),
        ("file://host/share/a", "../../b", "file://host/share/b"),
    ],
)
def test_joining(base: str, text: str, joined: str) -> None:
    result = PathUri.parse(base).join(text)
    assert str(result) == joined
    assert PathUri.parse(joined) == result


@pytest.mark.parametrize(
    ("base", "text"), [("file:///a", "x\0"), ("file:///C:/a", "d:x"), ("file:///a", "\ud800")]
)
def test_what_cannot_be_joined(base: str, text: str) -> None:
    with pytest.raises(InvalidPathError):
        PathUri.parse(base).join(text)


@given(st.lists(segments, max_size=4), st.text(max_size=20))
def test_joining_gives_a_uri_that_parses_to_itself_below_the_root(
    parts: list[bytes], text: str
) -> None:
    base = PathUri.from_native(b"/" + b"/".join(parts))
    try:
        joined = base.join(text)
    except InvalidPathError:
        assert "\0" in text
        return
    assert PathUri.parse(str(joined)) == joined
    expected = posixpath.normpath(posixpath.join(base.to_native(), text.encode()))
    assert joined.to_native() == b"/" + expected.lstrip(b"/")
    if ".." not in text.split("/") and not text.startswith("/"):
        assert joined.starts_with(base)


@pytest.mark.parametrize(
    ("path", "other", "below"),
    [
        ("file:///a/b", "file:///a", True),
        ("file:///a/b", "file:///a/", True),
        ("file:///a//b", "file:///a/b", True),
        ("file:///a", "file:///a", True),
        ("file:///a", "file:///", True),
        ("file:///ab", "file:///a", False),
        ("file:///a", "file:///a/b", False),
        ("file:///a%2Fb", "file:///a", False),
        ("file:///a%2fb", "file:///a%2fb", False),
        ("file:///a%5Cb", "file:///a%5Cb", True),
        ("file:///C:/a%5Cb", "file:///C:/", False),
        ("file:///C:/a", "file:///C:/", True),
        ("file:///C:/a", "file:///", False),
        ("file:///C:/a", opaque(b"/C:"), False),
        (opaque(b"/C:/a"), opaque(b"/C:"), True),
        (opaque(b"/C:/a"), "file:///", True),
        ("file://h/s/a", "file://h/s", True),
        ("file://h/s/a", "file://g/s", False),
    ],
)
def test_lying_below(path: str, other: str, below: bool) -> None:
    assert PathUri.parse(path).starts_with(PathUri.parse(other)) is below


# ---------------------------------------------------------------------- the object, the field


def test_a_uri_is_immutable_and_copied_as_it_is() -> None:
    uri = PathUri.parse("file:///a")
    with pytest.raises(AttributeError):
        uri._path = "/b"
    with pytest.raises(TypeError):
        PathUri()
    assert copy.deepcopy(uri) == uri
    assert pickle.loads(pickle.dumps(uri)) == uri
    assert repr(uri) == "PathUri('file:///a')"
    assert uri != "file:///a"


def test_in_a_model_it_is_a_string_on_the_wire_and_a_uri_in_python() -> None:
    adapter: TypeAdapter[PathUri] = TypeAdapter(WirePathUri)
    uri = adapter.validate_json('"file:/a/../b"')
    assert uri == PathUri.parse("file:///b")
    assert adapter.validate_python(uri) is uri
    assert adapter.dump_json(uri) == b'"file:///b"'
    assert adapter.json_schema() == {"type": "string", "format": "uri"}
    for bad in ('"/a"', "5", "null", "true", "[]"):
        with pytest.raises(ValidationError):
            adapter.validate_json(bad)


def test_the_light_modules_do_not_load_pydantic() -> None:
    code = (
        "import sys, exec_server_protocol.path_uri, exec_server_protocol.errors, "
        "exec_server_protocol.limits, exec_server_protocol._state_table; "
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
