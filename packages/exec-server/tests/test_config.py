"""Settings: what is refused, and how sizes and addresses are read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from exec_server.config import ListenAddress, ServerConfig, parse_listen_url
from exec_server.errors import ConfigError
from exec_server.sizes import parse_size


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://127.0.0.1:0", ListenAddress("127.0.0.1", 0)),
        ("ws://0.0.0.0:65535", ListenAddress("0.0.0.0", 65535)),
        ("ws://[::1]:8765", ListenAddress("::1", 8765)),
    ],
)
def test_listen_addresses(url: str, address: ListenAddress) -> None:
    assert parse_listen_url(url) == address
    assert address.url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ws://localhost:0",
        "ws://127.0.0.1",
        "ws://127.0.0.1:99999",
        "ws://127.0.0.1:0/path",
        "ws://127.0.0.1:0/",
        "ws://127.0.0.1:0?q",
        "ws://127.0.0.1:0?",
        "ws://127.0.0.1:0#",
        "ws://user@127.0.0.1:0",
        "wss://127.0.0.1:0",
        "http://127.0.0.1:0",
        "127.0.0.1:0",
        "nonsense",
    ],
)
def test_anything_but_a_literal_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected ws://IP:PORT"):
        parse_listen_url(url)


@pytest.mark.parametrize("url", ["stdio", "stdio://"])
def test_there_is_no_stdio_transport(url: str) -> None:
    with pytest.raises(ConfigError, match="no stdio transport"):
        parse_listen_url(url)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]"])
def test_the_network_is_not_let_in_without_authentication(host: str) -> None:
    with pytest.raises(ConfigError, match="--allow-unauthenticated"):
        ServerConfig(listen=f"ws://{host}:0")
    assert ServerConfig(listen=f"ws://{host}:0", allow_unauthenticated=True).address.port == 0


@pytest.mark.parametrize(
    "change",
    [
        {"session_ttl": -1.0},
        {"session_ttl": float("nan")},
        {"drain": float("inf")},
        {"ping_interval": 0.0},
        {"peer_timeout": -1.0},
        {"memory_bytes": -1},
        {"spool_max_bytes": -1},
    ],
)
def test_numbers_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        ServerConfig(**change)


def test_the_spool_directory_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="spool_dir"):
        ServerConfig(spool_dir=str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64MiB", 64 * 1024**2),
        ("1GiB", 1024**3),
        ("500kB", 500_000),
        ("2M", 2_000_000),
        ("3 KiB", 3072),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5MiB", "MiB", "1TiB", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_size(text)
