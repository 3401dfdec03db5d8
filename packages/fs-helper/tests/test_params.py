"""Params, and the shortcut for plain path URIs."""

from __future__ import annotations

import pytest
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from fs_helper.errors import OperationError
from fs_helper.params import flag, natural, text, uri_to_path
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.lists(
        st.sampled_from(
            ["file:", "FILE:", "/", "/", "/", ".", "..", "a", "Z9_-", "C:", "|", "%", "2F", "%ff",
             "é", "\ud800", " ", "\t", "?", "#", "\\", "localhost", "%00", "\0", "~", "\n"]
        ),
        max_size=9,
    ).map("".join)
    | st.text(max_size=10).map("file:///".__add__)
)  # fmt: skip
def test_the_shortcut_never_disagrees_with_the_parser(uri: str) -> None:
    try:
        expected: bytes | None = PathUri.parse(uri).to_native()
    except InvalidPathError:
        expected = None
    if expected is None or b"\0" in expected:
        with pytest.raises(OperationError):
            uri_to_path(uri)
    else:
        assert uri_to_path(uri) == expected


@pytest.mark.parametrize("uri", ["/tmp", "", "http://x", "file:///x?q", "file:///x#f", "a"])
def test_what_is_no_path_uri_is_a_fault_of_the_params(uri: str) -> None:
    with pytest.raises(OperationError) as caught:
        uri_to_path(uri)
    assert caught.value.code == -32602


@pytest.mark.parametrize(
    "uri", ["file:///C:/x", "file://server/share", "file:///%00/bad/path/L3gA"]
)
def test_what_names_nothing_here_is_an_invalid_request(uri: str) -> None:
    with pytest.raises(OperationError) as caught:
        uri_to_path(uri)
    assert caught.value.code == -32600


def test_members_have_to_be_of_their_type() -> None:
    assert flag({}, "x", default=True) is True
    assert flag({"x": None}, "x", default=True) is True
    assert flag({"x": False}, "x", default=True) is False
    assert natural({"x": 0}, "x") == 0
    assert text({"x": ""}, "x") == ""
    for bad in (
        lambda: flag({"x": 1}, "x", default=True),
        lambda: natural({"x": True}, "x"),
        lambda: natural({"x": 1.0}, "x"),
        lambda: natural({"x": -1}, "x"),
        lambda: natural({}, "x"),
        lambda: text({"x": None}, "x"),
        lambda: text({"x": b""}, "x"),
    ):
        with pytest.raises(OperationError) as caught:
            bad()
        assert caught.value.code == -32602
