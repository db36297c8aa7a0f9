"""Every link of every page leads to a file that exists and to a heading that it has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TOP = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "services", "examples", "benchmarks", "compose")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)


def all_pages() -> list[Path]:
    """Every page for users and contributors."""
    paths = list(TOP.glob("*.md"))
    for folder in FOLDERS:
        paths += (TOP / folder).rglob("*.md")
    return sorted(paths)


def targets(page: Path) -> list[str]:
    """What a page links to, outside of code."""
    return LINK.findall(INLINE.sub("`code`", CODE.sub("", page.read_text(encoding="utf-8"))))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub makes of a page's headings."""
    broken: list[str] = []
    for heading in HEADING.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repeated = sum(known == anchor or known.startswith(f"{anchor}-") for known in broken)
        broken.append(f"{anchor}-{repeated}" if anchor in broken else anchor)
    return frozenset(broken)


def problem(page: Path, target: str) -> str | None:
    """What is wrong with a link; None when it leads somewhere. Links to other sites are not followed."""
    if target.startswith(("http://", "https://", "mailto:")):
        return None
    name, _, anchor = target.partition("#")
    place = (page.parent / name).resolve() if name else page
    if not place.exists():
        return f"{page.relative_to(TOP)}: {target} does not exist"
    if anchor and anchor not in anchors(place):
        return f"{page.relative_to(TOP)}: {target}: there is no such heading"
    return None


def test_every_link_leads_somewhere() -> None:
    problems = [problem(page, target) for page in all_pages() for target in targets(page)]
    assert [text for text in problems if text] == []


@pytest.mark.parametrize("target", ["missing.md", "#no-such-heading", "docs/engines.md#no-such-heading"])
def test_a_broken_link_is_found(target: str) -> None:
    assert problem(TOP / "README.md", target) is not None


def test_every_page_is_reachable_from_the_readme() -> None:
    reached = {TOP / "README.md"}
    waiting = list(reached)
    while waiting:
        page = waiting.pop()
        for target in targets(page):
            place = (page.parent / target.partition("#")[0]).resolve()
            if place.suffix == ".md" and place.is_file() and place not in reached:
                reached.add(place)
                waiting.append(place)
    pages = [page for page in all_pages() if page.parts[len(TOP.parts)] in ("docs", "services", "examples")]
    assert [str(page.relative_to(TOP)) for page in pages if page not in reached] == []
