"""The house: each floor imports only from floors below it, rooms on one floor not each other, and heavy things late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "gymctl"

GROUND = {"errors", "assets", "lazy", "__init__", ""}
MAY_IMPORT = {
    "config": set(),
    "stack": {"config"},
    "server": {"config"},
    "engines": {"stack", "server", "config"},
    "rollouts": {"server", "config"},
    "datasets": {"server", "config"},
    "cli": {"engines", "rollouts", "datasets", "server", "stack", "config"},
}
HEAVY = {"ray", "openai", "docker", "fastapi", "aiohttp", "uvicorn", "httpx", "rich", "jinja2", "testcontainers"} | {
    "pyarrow",
    "zstandard",
    "huggingface_hub",
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_bundled" not in path.parts)


def imported(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below(path: Path):
    room = path.relative_to(PACKAGE).parts[0]
    allowed = MAY_IMPORT.get(room)
    if allowed is None:
        return
    for name, _ in imported(ast.parse(path.read_text())):
        if name.startswith("gymctl."):
            target = name.split(".")[1]
            assert target in GROUND | allowed | {room}, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_keep_their_size(path: Path):
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"


def test_only_the_runner_starts_subprocesses():
    starting = [
        path.name
        for path in modules()
        if any(name == "subprocess" for name, _ in imported(ast.parse(path.read_text())))
    ]
    assert starting == ["runner.py"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["render", "examples/quickstart"], ["config", "show", "examples/quickstart"]]
)
def test_help_and_render_import_nothing_heavy(arguments: list[str]):
    script = (
        "import sys\n"
        "from gymctl.cli.main import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('heavy:', sorted({HEAVY - {'rich'}!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
