"""The pages of docs/reference are what scripts/reference_pages.py writes, and no variable is left out."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TOP = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"(?:GYMCTL|NEMO_GYM|RAY|HF|DOCKER)_[A-Z_]+")
# arguments of image builds and a secret that is a file only, which share the prefix
NO_VARIABLES = {"NEMO_GYM_VERSION", "NEMO_GYM_PYTHON", "NEMO_GYM_IMAGE", "GYMCTL_EDGE_CERTIFICATE"}


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], str]]:
    monkeypatch.syspath_prepend(str(TOP / "scripts"))
    writers: dict[str, Callable[[], str]] = importlib.import_module("reference_pages").PAGES
    return writers


def variables() -> Iterator[str]:
    """Names of variables that the code of gymctl and the servers reads or sets."""
    for folder in ("gymctl", "services"):
        for path in (TOP / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                    yield node.value
                yield from looked_up(node)


def looked_up(node: ast.AST) -> Iterator[str]:
    """The name in ``environ["NAME"]`` and ``environ.get("NAME")``."""
    key: ast.AST | None = None
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
        key = node.slice
    elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(("environ.get", "getenv")):
        key = node.args[0]
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        yield key.value.upper()


def test_the_pages_are_what_the_script_writes(pages: dict[str, Callable[[], str]]) -> None:
    folder = TOP / "docs" / "reference"
    differing = [name for name, page in pages.items() if (folder / name).read_text(encoding="utf-8") != page()]
    assert differing == [], "run: python scripts/reference_pages.py"


def test_every_variable_of_the_code_is_on_the_page(pages: dict[str, Callable[[], str]]) -> None:
    documented = set(re.findall(r"`([A-Z_]+)`", pages["environment-variables.md"]()))
    assert set(variables()) - NO_VARIABLES - documented == set()


def test_every_command_of_the_help_is_on_the_page(pages: dict[str, Callable[[], str]]) -> None:
    import typer

    from gymctl.cli.main import app

    def names(command: object, prefix: str) -> Iterator[str]:
        children = getattr(command, "commands", None)
        if children is None:
            yield prefix
            return
        for name, child in children.items():
            yield from names(child, f"{prefix} {name}")

    headings = set(re.findall(r"^## (.*)$", pages["cli.md"](), re.MULTILINE))
    assert headings == set(names(typer.main.get_command(app), "gymctl"))


def test_lines_are_short(pages: dict[str, Callable[[], str]]) -> None:
    long = [line for page in pages.values() for line in page().splitlines() if len(line) > 120]
    assert [line for line in long if not line.startswith("|")] == []


def test_a_command_is_on_the_page_once_however_often_it_was_registered(pages: dict[str, Callable[[], str]]) -> None:
    from gymctl.cli.main import _COMMANDS, _command_line

    for module in _COMMANDS:
        _command_line((module,))
    headings = re.findall(r"^## (.*)$", pages["cli.md"](), re.MULTILINE)
    assert len(headings) == len(set(headings))
