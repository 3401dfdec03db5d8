"""Durations of command lines."""

from __future__ import annotations

import pytest
from exec_server_protocol._durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        (".5", 0.5),
        ("0", 0),
        ("90s", 90),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("1m2s3ms", 62.003),
        ("1.5h", 5400),
        (" 5m ", 300),
    ],
)
def test_a_duration_is_seconds_or_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "-1",
        "5 m",
        "30m1h",
        "5M",
        "1e3",
        "inf",
        "nan",
        "m",
        "5mm",
        "\u0665",
        "9" * 400,
    ],
)
def test_anything_else_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration: .*; write 90, 500ms, 5m or 1h30m"):
        parse_duration(text)
