"""Base64 has one spelling; identifiers and sizes."""

from __future__ import annotations

import base64

import pytest
from exec_server_protocol._scalars import decode_base64, encode_base64
from hypothesis import given
from hypothesis import strategies as st


@given(st.binary(max_size=400))
def test_bytes_come_back(data: bytes) -> None:
    text = encode_base64(data)
    assert text == base64.b64encode(data).decode()
    assert decode_base64(text) == data
    assert decode_base64(text.encode()) == data
    assert decode_base64(memoryview(text.encode())) == data


@pytest.mark.parametrize(
    "text",
    ["!", "YQ", "YQ=", "YR==", " YQ==", "YQ==\n", "-_==", "Y", "YQ==YQ==", "YWI=YQ==", "YWJ=",
     "Y Q=", "YQ===", "=", "====", "é==="],
)  # fmt: skip
def test_every_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)


@given(st.text(alphabet="AQZaz09+/=-_ \n", max_size=12))
def test_what_decodes_is_exactly_what_encoding_would_have_given(text: str) -> None:
    try:
        data = decode_base64(text)
    except ValueError:
        return
    assert encode_base64(data) == text
