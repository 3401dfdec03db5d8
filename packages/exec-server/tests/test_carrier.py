"""Trace carriers: what is read, what is dropped, and what a child gets."""

from __future__ import annotations

import pytest
from exec_server.telemetry.carrier import Carrier, environment, parse
from hypothesis import given
from hypothesis import strategies as st

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_traceparent_is_read() -> None:
    assert parse(VALID, None) == Carrier(int(TRACE, 16), int(SPAN, 16), sampled=True)


def test_the_sampled_flag_is_one_bit_of_several() -> None:
    sampled = {flags: parse(f"00-{TRACE}-{SPAN}-{flags}", None) for flags in ("00", "02", "03")}
    assert {flags: c.sampled for flags, c in sampled.items() if c} == {
        "00": False,
        "02": False,
        "03": True,
    }


@pytest.mark.parametrize("text", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes"])
def test_later_versions_are_read_as_far_as_they_are_known(text: str) -> None:
    assert parse(text, None) == parse(VALID, None)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        VALID + "-more",
        VALID.upper(),
        " " + VALID,
        VALID + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 1_000_000,
        VALID.replace("0", "\u0660"),
    ],
)
def test_what_is_no_traceparent_is_nothing(text: str | None) -> None:
    assert parse(text, "a=b") is None


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("a=1,b=2", (("a", "1"), ("b", "2"))),
        (" a=1 ,\t,b=x y", (("a", "1"), ("b", "x y"))),
        ("tenant@system=v", (("tenant@system", "v"),)),
        ("a=1,a=2", ()),
        ("A=1", ()),
        ("a", ()),
        ("a=b=c", ()),
        ("a=\x7f", ()),
        ("a=\n", ()),
        (",".join(f"k{i}=v" for i in range(33)), ()),
        ("a=" + "v" * 1_000_000, ()),
    ],
)
def test_a_bad_tracestate_is_dropped_and_the_rest_kept(
    text: str, members: tuple[tuple[str, str], ...]
) -> None:
    carrier = parse(VALID, text)
    assert carrier is not None
    assert carrier.state == members


@given(st.text(), st.text())
def test_no_text_is_an_error(traceparent: str, tracestate: str) -> None:
    parse(traceparent, tracestate)
    assert parse(VALID, tracestate) is not None


ids = st.integers(min_value=1, max_value=2**64 - 1)
members = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_\-*/]{0,10}", fullmatch=True),
    st.from_regex(r"[!-+\--<>-~]{1,10}", fullmatch=True),
    max_size=8,
)


@given(ids, ids, st.booleans(), members)
def test_what_a_child_gets_means_what_was_meant(
    trace_id: int, span_id: int, sampled: bool, state: dict[str, str]
) -> None:
    carrier = Carrier(trace_id, span_id, sampled, tuple(state.items()))
    variables = environment(carrier)
    assert parse(variables["TRACEPARENT"], variables.get("TRACESTATE")) == carrier
