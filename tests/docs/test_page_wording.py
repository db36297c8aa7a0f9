"""Pages are written in plain English: short lines, and none of the phrases that a translation would leave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TOP = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "services", "examples", "benchmarks", "compose")
LONGEST = 120
PHRASES = re.compile(
    r"\b(?:(?:is|are) no\b(?! (?:longer|more))|(?:is|are|was|be|been) told|tells?|says? nothing|anew|besides|lest|shall"
    r"|goes? on|all the same|that of|so many|in vain|as ever|for ever|nothing comes of|holds? up|in its stead"
    r"|is to (?:be|end))\b",
    re.IGNORECASE,
)


def pages() -> list[Path]:
    """Every page but the changelog."""
    paths = [page for page in TOP.glob("*.md") if page.name != "CHANGELOG.md"]
    for folder in FOLDERS:
        paths += (TOP / folder).rglob("*.md")
    return sorted(paths)


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Lines outside of code blocks, with their numbers."""
    is_code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(TOP)))
def test_a_page_has_none_of_the_phrases(page: Path) -> None:
    phrases = [f"{number}: {match[0]}" for number, line in prose(page) for match in PHRASES.finditer(line)]
    assert phrases == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(TOP)))
def test_lines_are_short(page: Path) -> None:
    long_lines = [number for number, line in prose(page) if len(line) > LONGEST and not line.startswith("|")]
    assert long_lines == []


@pytest.mark.parametrize("text", ["there is no page", "it is told so", "that of a model", "it is to end"])
def test_a_phrase_is_found(text: str) -> None:
    assert PHRASES.search(text)


@pytest.mark.parametrize("text", ["it is no longer used", "it notes that offline use works", "what it is"])
def test_plain_english_is_not(text: str) -> None:
    assert not PHRASES.search(text)
