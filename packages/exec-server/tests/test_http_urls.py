"""URLs: the same as httpx makes of them, where a request could be made with it."""

from __future__ import annotations

import re

import httpx
import pytest
from exec_server.http.urls import InvalidUrlError, Url, parse_url
from hypothesis import assume, given
from hypothesis import strategies as st

PIECES = st.lists(
    st.sampled_from(
        [
            *["/", "//", "..", ".", "?", "#", "@", ":", "[", "]", "%", "%2f", "%zz", "a", "B", "~"],
            *["user:p%20w@", "[::1]", "[fe80::1%25eth0]", "127.0.0.1", "1.2.3.400", ":80", ":443"],
            *["münchen.example", "xn--a", ":99999", ":x", " ", "|", "`", "{", "\\", '"', "é", ";="],
        ]
    ),
    max_size=8,
).map("".join)


def seen(url: httpx.URL | Url) -> tuple[object, ...]:
    host = url.raw_host.decode() if isinstance(url, httpx.URL) else url.host
    userinfo = url.userinfo.decode() if isinstance(url, httpx.URL) else url.userinfo
    return url.scheme, userinfo, host, url.port, url.raw_path, url.netloc


AUTHORITY = re.compile(
    r"[a-zA-Z]+://(?:[^/?#]*@)?(?:\[[^/?#]*\]|[^/?#:]*)(?::[0-9]*)?(?:[/?#].*)?", re.S
)
"""Of RFC 3986: httpx hands a port to ``int``, which takes spaces and signs as well as digits."""


def expected(text: str) -> tuple[object, ...] | None:
    if AUTHORITY.fullmatch(text) is None:
        return None
    try:
        url = httpx.URL(text)
        host = url.raw_host
    except (httpx.InvalidURL, UnicodeError, ValueError):
        return None
    if url.scheme not in ("http", "https") or not host or b"%" in host:
        return None
    return seen(url) if 0 <= (url.port or 0) <= 65535 else None


def ours(text: str) -> tuple[object, ...] | None:
    try:
        return seen(parse_url(text))
    except InvalidUrlError:
        return None


@given(st.sampled_from(["http", "HTTPS"]), st.one_of(PIECES, st.text(max_size=20)))
def test_a_url_is_what_httpx_makes_of_it(scheme: str, rest: str) -> None:
    # httpx looks for the port of a scheme as it is written.
    assert ours(f"{scheme}://{rest}") == expected(f"{scheme.lower()}://{rest}")


@given(st.sampled_from(["http://h", "https://u:p@h:8443/a/b/../c?q#f", "http://[::1]/x"]), PIECES)
def test_a_reference_leads_where_it_leads_in_httpx(base: str, reference: str) -> None:
    assume(not reference.strip().startswith(":"))  # httpx takes that for an empty scheme
    # Without a host it is refused here, and httpx takes the one of the page; and a bracket that
    # begins no address is refused.
    assume(re.match(r"//(([^/?#]*@)?([/?#:]|$)|[^/?#]*[][])", reference.strip()) is None)
    try:
        target = str(httpx.URL(base).copy_with(userinfo=b"").join(reference.strip()))
    except (httpx.InvalidURL, ValueError):
        return
    wanted = expected(target)
    if wanted is not None:
        assert ours(parse_url(base).join(reference.strip())) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *["", "h", "/x", "//h/x", "ftp://h/", "http:", "http:///x", "http://", "mailto:a@b"],
        *[
            "http://h:65536/",
            "http://h:-1/",
            "http://h:8a/",
            "http://h:٣/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://a b/",
        ],
        *["http://h/\n", "http://h/\x7f", "http://1.2.3.256/", "http://" + "a" * 70_000],
    ],
)
def test_what_no_request_could_be_made_with_is_refused_without_a_quote(text: str) -> None:
    with pytest.raises(InvalidUrlError) as caught:
        parse_url(text)
    assert text == "" or len(text) == 1 or text not in str(caught.value)


def test_secrets_of_a_url_are_read_and_left_behind() -> None:
    url = parse_url("http://u%20x:p%3A@h/?q#f")
    assert (url.username, url.password) == ("u x", "p:")
    assert url.without_userinfo().userinfo == ""
    assert url.raw_path == b"/?q"
