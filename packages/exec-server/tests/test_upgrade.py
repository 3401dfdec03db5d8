"""What HTTP requests get."""

from __future__ import annotations

import pytest
from exec_server.transport.upgrade import decide


@pytest.mark.parametrize(
    ("method", "target", "has_origin", "status"),
    [
        ("GET", "/", False, None),
        ("GET", "/?query=1", False, None),
        ("GET", "/", True, 403),
        ("GET", "/readyz", True, 403),
        ("POST", "/nothing", True, 403),
        ("GET", "/readyz", False, 200),
        ("HEAD", "/readyz?verbose", False, 200),
        ("POST", "/readyz", False, 405),
        ("POST", "/", False, 405),
        ("GET", "/readyz/", False, 404),
        ("GET", "/healthz", False, 404),
        ("GET", "", False, 404),
    ],
)
def test_answers(method: str, target: str, has_origin: bool, status: int | None) -> None:
    refusal = decide(method, target, has_origin=has_origin)
    assert (refusal and refusal.status) == status


def test_a_wrong_method_is_told_the_right_ones() -> None:
    refusal = decide("DELETE", "/readyz", has_origin=False)
    assert refusal is not None
    assert refusal.headers == {"Allow": "GET,HEAD"}
