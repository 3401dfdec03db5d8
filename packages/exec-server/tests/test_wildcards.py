"""Wildcards in the text of peers."""

from __future__ import annotations

import time

import pytest
from exec_server.errors import SpawnError
from exec_server.launching.environment_policy import child_environment
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.globs import Glob, _tokens, check_numbers, check_parts
from exec_server.wildcards import Matcher, fold, stars_and_marks
from exec_server_protocol.process import EnvironmentPolicy
from hypothesis import example, given
from hypothesis import strategies as st

SOON_SECONDS = 2.0
"""Of processor time. What is tried takes milliseconds; going back would take centuries."""


def slowly(pattern: str, text: str) -> bool:
    """Match by trying everything. Knows ``*``, ``?`` and sets, in the plainest way."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slowly(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
    if not text:
        return False
    if pattern[0] != "[":
        return pattern[0] in ("?", text[0]) and slowly(pattern[1:], text[1:])
    end = pattern.index("]", 3 if pattern[1] in "!^" else 2)
    members, wanted = pattern[1:end], True
    if members[0] in "!^":
        members, wanted = members[1:], False
    found = False
    while members:
        if members[1:2] == "-" and len(members) > 2:
            found |= members[0] <= text[0] <= members[2]
            members = members[3:]
        else:
            found |= members[0] == text[0]
            members = members[1:]
    return found is wanted and slowly(pattern[end + 1 :], text[1:])


TEXTS = st.text("aAbB-.]é😀\n", max_size=8)
PLAIN = st.text("aAbB-.*?[]é😀\n", max_size=8)
SETS = st.sampled_from(
    ["[ab]", "[!ab]", "[^a]", "[a-b]", "[!.-a]", "[]]", "[!]]", "[]-a]", "[a-]", "[-a]", "[é-😀]"]
)
OF_NAMES = st.lists(SETS | st.sampled_from("aAb-.*?😀"), max_size=6).map("".join)


def caseless(pattern: str, text: str) -> bool:
    """Match as the reference implementation does: lower case, character by character."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(caseless(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
    same = text and (pattern[0] == "?" or pattern[0].lower() == text[0].lower())
    return bool(same) and caseless(pattern[1:], text[1:])


@given(st.lists(PLAIN, max_size=3), TEXTS)
@example(["a*?b", "*"], "")
@example(["**a**"], "bAb")
def test_patterns_of_variables_match_what_trying_everything_matches(
    patterns: list[str], text: str
) -> None:
    matcher = Matcher(stars_and_marks(fold(pattern)) for pattern in patterns)
    assert matcher.matches(fold(text)) == any(caseless(pattern, text) for pattern in patterns)


@given(OF_NAMES, TEXTS)
def test_patterns_of_names_match_what_trying_everything_matches(pattern: str, text: str) -> None:
    assert Matcher([_tokens(pattern)]).matches(text) == slowly(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "name", "same"),
    [
        ("k", "\u212a", True),  # Kelvin
        ("ß", "ẞ", True),
        ("É", "é", True),
        ("s", "\u017f", False),
        ("\u03c3", "\u03c2", False),
        ("i", "İ", False),
        ("İ", "i̇", False),
        ("İ", "İ", True),
        ("\u0131", "I", False),
        ("\xb5", "\u03bc", False),
        ("ss", "ß", False),
    ],
)
def test_case_is_ignored_as_the_reference_ignores_it(pattern: str, name: str, same: bool) -> None:
    assert Matcher([stars_and_marks(fold(pattern))]).matches(fold(name)) is same


@given(st.text())
def test_folding_keeps_the_length(text: str) -> None:
    assert len(fold(text)) == len(text)


@pytest.mark.parametrize("pattern", ["*A" * 64 + "*B", "*" * 64 + "B", "*?" * 64 + "B", "?*A" * 64])
def test_a_hostile_pattern_takes_no_longer_than_any_other(pattern: str) -> None:
    started = time.process_time()
    for _ in range(100):
        assert not Matcher([stars_and_marks(pattern)]).matches("A" * 250 + "C")
        assert not Matcher([_tokens(pattern)]).matches("A" * 250 + "C")
    assert time.process_time() - started < SOON_SECONDS


def test_many_different_characters_are_not_all_remembered() -> None:
    matcher = Matcher([_tokens("[!x]*")])
    assert matcher.matches("".join(map(chr, range(0x1000, 0x3000))))
    assert len(matcher._known) <= 256


def _policy(exclude: list[str], variables: dict[str, str]) -> EnvironmentPolicy:
    return EnvironmentPolicy(
        inherit="all",
        ignore_default_excludes=True,
        exclude=exclude,
        set=variables,
        include_only=exclude,
    )


def test_many_hostile_patterns_and_long_names_are_matched_in_good_time() -> None:
    policy = _policy(["*A" * 64 + "*B"] * 32, {"A" * 20_000: "1"})
    started = time.process_time()
    child_environment({}, policy, {"A" * 5_000: "1", "PATH": "/bin"})
    assert time.process_time() - started < SOON_SECONDS


@pytest.mark.parametrize(
    "policy",
    [
        _policy(["*A"] * 5000, {}),
        _policy(["*A*B"] * 2000, {"A" * 100_000: "1"}),
        _policy(["*A"], {"A" * 2_000_000: "1"}),
    ],
)
def test_a_policy_that_would_take_too_long_is_refused(policy: EnvironmentPolicy) -> None:
    with pytest.raises(SpawnError, match="envPolicy has too many patterns"):
        child_environment({}, policy, {"A": "1"})


def _check(patterns: list[str]) -> None:
    check_numbers(patterns)
    check_parts([Glob.parse(pattern, None) for pattern in patterns])


@pytest.mark.parametrize(
    "patterns", [["/w/*"] * 257, ["/w/*/" + "*/" * 1024 + "*"], ["/w/*" + "x" * 65_536]]
)
def test_more_deny_patterns_than_can_be_searched_for_are_refused(patterns: list[str]) -> None:
    with pytest.raises(PolicyNotEnforceableError, match="too many deny patterns"):
        _check(patterns)


def test_the_patterns_that_people_write_are_few_enough() -> None:
    patterns = ["/a/b/c/w/**/*.env", "/a/b/c/w/**/.ssh/**", "/a/b/c/w/**/id_[re][sd]*"] * 80
    _check(patterns)
