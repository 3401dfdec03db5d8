"""URLs of executors."""

from __future__ import annotations

import pytest
from exec_client import ConnectError, connect
from exec_client.urls import executor_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765"),
        ("wss://build", "wss://build"),
        ("localhost:8765", "ws://localhost:8765"),
        ("127.0.0.1:8765", "ws://127.0.0.1:8765"),
        ("[::1]:8765", "ws://[::1]:8765"),
        ("build", "ws://build"),
        ("http://build:1/", "ws://build:1/"),
        ("https://build?token=1", "wss://build?token=1"),
        ("HTTP://build", "ws://build"),
        (" build:1\n", "ws://build:1"),
    ],
)
def test_an_executor_is_found_with_and_without_a_scheme(text: str, url: str) -> None:
    assert executor_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "  ", "ftp://build", "ws://", ":8765", "build:port", "a b", "ws://a:0", "://a"]
)
async def test_what_names_no_executor_is_an_error_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"is empty|expected ws://HOST:PORT"):
        executor_url(text)
    with pytest.raises(ConnectError, match=r"is empty|expected ws://HOST:PORT"):
        await connect(text)
