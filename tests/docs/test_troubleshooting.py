"""The page of messages quotes what the code prints, and has every code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gymctl.errors import ErrorCode

pytestmark = pytest.mark.unit

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
CODE = re.compile(r"\bGYM0\d\d\b")
VARIES = re.compile(r"<[a-z]+>")
# classes of failures stand beside a message in a heading
CLASSES = {"rate_limited", "session_lost"}
# what a system prints, not gymctl
OTHERS = {"/tmp"}


def messages() -> list[str]:
    """The messages of the headings, without those parts that vary."""
    return [text for line in PAGE.splitlines() if line.startswith("### ") for text in re.findall(r"`([^`]+)`", line)]


@cache
def printed() -> str:
    """Every text in the code; what an f-string fills in is a line break."""
    texts: list[str] = []
    for folder in ("gymctl", "services"):
        for path in (TOP / folder).rglob("*.py"):
            texts += _texts(ast.parse(path.read_text(encoding="utf-8")))
    return "\n".join(texts)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("message", [message for message in messages() if message not in CLASSES | OTHERS])
def test_a_message_is_one_that_the_code_prints(message: str) -> None:
    parts = [part for part in VARIES.split(message) if re.search("[a-z]{2}", part)]
    missing = [part for part in parts if part not in printed() and part.strip() not in printed()]
    assert missing == [], "the code prints this no longer: change docs/troubleshooting.md"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_of_failures_exists(name: str) -> None:
    assert name in printed()


def test_every_code_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| (GYM0\d\d) \|", PAGE, re.MULTILINE))
    assert listed == set(CODE.findall(printed()))


def test_every_error_code_has_a_section_and_every_section_a_code() -> None:
    assert set(re.findall(r"^Code: `(.+)`$", PAGE, re.MULTILINE)) == set(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode, ids=str)
def test_every_error_code_is_in_use(code: ErrorCode) -> None:
    name = f"ErrorCode.{code.name}"
    assert any(name in path.read_text(encoding="utf-8") for path in (TOP / "gymctl").rglob("*.py"))
