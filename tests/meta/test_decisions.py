"""Decisions have numbers of their own, and whoever names one means it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs/decisions").glob("*.md"))


def test_numbers_follow_each_other_and_titles_have_them() -> None:
    assert [int(file.name[:4]) for file in RECORDS] == list(range(1, len(RECORDS) + 1))
    for file in RECORDS:
        assert file.read_text(encoding="utf-8").startswith(f"# {int(file.name[:4])}. "), file.name


def test_a_link_says_the_number_that_it_leads_to() -> None:
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")]:
        text = file.read_text(encoding="utf-8")
        for said, number in re.findall(
            r"\[decision (\d+)\]\([\w./]*?(\d{4})-", text, re.IGNORECASE
        ):
            assert int(said) == int(number), f"{file.name}: decision {said}"
