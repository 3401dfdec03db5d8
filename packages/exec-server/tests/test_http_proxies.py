"""Which proxy a request goes through."""

from __future__ import annotations

import pytest
from exec_server.http.proxies import proxy_url


def test_each_scheme_has_its_variable_and_all_is_for_the_rest() -> None:
    environ = {"HTTP_PROXY": "http://one:1", "ALL_PROXY": "socks5://all:2"}
    assert proxy_url("http", "origin.test", 80, environ) == "http://one:1"
    assert proxy_url("https", "origin.test", 443, environ) == "socks5://all:2"
    assert proxy_url("https", "origin.test", 443, {}) is None


def test_lower_case_wins_even_when_it_is_empty() -> None:
    environ = {"HTTP_PROXY": "http://upper", "http_proxy": "http://lower"}
    assert proxy_url("http", "origin.test", 80, environ) == "http://lower"
    assert proxy_url("http", "origin.test", 80, {**environ, "http_proxy": ""}) is None


def test_a_proxy_without_a_scheme_is_an_http_proxy() -> None:
    assert proxy_url("http", "x", 80, {"HTTP_PROXY": " proxy:3128 "}) == "http://proxy:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("*", "anything.test", 80),
        ("origin.test", "origin.test", 80),
        ("ORIGIN.test", "Origin.Test.", 80),
        (".origin.test", "origin.test", 80),
        ("origin.test", "deep.origin.test", 80),
        ("*.origin.test", "deep.origin.test", 80),
        ("a, origin.test ,b", "origin.test", 80),
        ("origin.test:8080", "origin.test", 8080),
        ("127.0.0.1", "127.0.0.1", 80),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("10.0.0.0/8", "10.1.2.3", 80),
        ("::1", "::1", 80),
        ("[::1]", "::1", 80),
        ("[::1]:8080", "::1", 8080),
        ("fd00::/8", "fd12::1", 80),
    ],
)
def test_hosts_that_are_reached_directly(no_proxy: str, host: str, port: int) -> None:
    environ = {"HTTP_PROXY": "http://proxy", "NO_PROXY": no_proxy}
    assert proxy_url("http", host, port, environ) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("", "origin.test", 80),
        (",", "origin.test", 80),
        (".", "origin.test", 80),
        ("origin.test", "notorigin.test", 80),
        ("origin.test:8080", "origin.test", 80),
        ("test.", "origin.example", 80),
        ("0.1", "10.0.0.1", 80),
        ("127.0.0.1:8080", "127.0.0.1", 80),
        ("10.0.0.0/8", "11.0.0.1", 80),
        ("10.0.0.0/8", "10.example.test", 80),
        ("127.0.0.1", "localhost", 80),
        ("[::1]:8080", "::1", 80),
    ],
)
def test_hosts_that_are_not(no_proxy: str, host: str, port: int) -> None:
    environ = {"HTTP_PROXY": "http://proxy", "NO_PROXY": no_proxy}
    assert proxy_url("http", host, port, environ) == "http://proxy"
