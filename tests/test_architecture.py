"""The house: each floor imports only from floors below it, rooms on one floor not each other, and heavy things late."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeGuard

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "gymctl"

GROUND = {"errors", "assets", "lazy", "__init__", ""}
FLOOR_3 = {"config"}
FLOOR_4 = {"stack", "server"}
FLOOR_5 = {"engines", "rollouts", "results", "datasets"}
FLOOR_6 = {"operations", "environments"}
MAY_IMPORT = {
    "config": set(),
    "stack": FLOOR_3,
    "server": FLOOR_3,
    "engines": FLOOR_3 | FLOOR_4,
    "rollouts": FLOOR_3 | {"server"},
    "results": FLOOR_3 | {"server"},
    "datasets": FLOOR_3 | {"server"},
    "operations": FLOOR_3 | FLOOR_4 | FLOOR_5,
    "environments": FLOOR_3 | FLOOR_4 | {"engines"},
    "viewer": FLOOR_3 | {"server", "results", "operations"},
    "cli": FLOOR_3 | FLOOR_4 | FLOOR_5 | FLOOR_6 | {"viewer"},
}
MOST_BRANCHES = 12
HEAVY = {"ray", "openai", "docker", "fastapi", "aiohttp", "uvicorn", "httpx", "rich", "jinja2", "testcontainers"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_bundled" not in path.parts)


def imported(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if "/" not in str(path.relative_to(PACKAGE)):
        return
    allowed = MAY_IMPORT[room]
    for name, _ in imported(ast.parse(path.read_text())):
        if name.startswith("gymctl."):
            target = name.split(".")[1]
            assert target in GROUND | allowed | {room}, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_keep_their_size(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"


def test_only_the_runner_starts_subprocesses() -> None:
    starting = [
        path.name
        for path in modules()
        if any(name == "subprocess" for name, _ in imported(ast.parse(path.read_text())))
    ]
    assert starting == ["runner.py"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["render", "examples/quickstart"], ["config", "show", "examples/quickstart"]]
)
def test_help_and_render_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from gymctl.cli.main import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('heavy:', sorted({HEAVY - {'rich'}!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def plain_imports(path: Path) -> Iterator[str]:
    """Modules of gymctl that a module imports while it is itself imported."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gymctl"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("gymctl"))


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = {dotted_name(path): path for path in modules()}
    graph = {name: {target for target in plain_imports(path) if target in files} for name, path in files.items()}
    for name, targets in graph.items():
        targets.discard(name)
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def dotted_name(path: Path) -> str:
    """A module's name, e.g. ``gymctl.stack.plan``; a package's own module is ``gymctl.stack.__init__``."""
    return ".".join(path.relative_to(TOP).with_suffix("").parts)


def test_no_module_name_occurs_twice_in_a_room() -> None:
    repeated = set()
    for room in MAY_IMPORT.keys() - {"engines"}:  # each engine has the same files for the same jobs
        names = Counter(path.stem for path in (PACKAGE / room).rglob("*.py") if path.stem != "__init__")
        repeated |= {f"{room}/{name}" for name, count in names.items() if count > 1}
    assert repeated == set()


def test_a_class_name_means_one_thing() -> None:
    servers = [path for path in (TOP / "services").glob("*/app.py") if path.is_file()]
    names = Counter(
        node.name
        for path in [*modules(), *servers]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


BRANCHES = (ast.If, ast.For, ast.While, ast.AsyncFor, ast.IfExp, ast.ExceptHandler, ast.comprehension, ast.match_case)


def branches(function: ast.AST) -> int:
    """Statements and expressions of a function that decide; each further part of ``and`` and ``or`` counts too."""
    decisions = sum(isinstance(node, BRANCHES) for node in ast.walk(function))
    return decisions + sum(len(node.values) - 1 for node in ast.walk(function) if isinstance(node, ast.BoolOp))


def test_functions_have_few_branches() -> None:
    many = {
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and branches(node) > MOST_BRANCHES
    }
    assert many == set()


def test_statements_assign_one_thing() -> None:
    lines = 0
    packed = []
    for path in modules():
        text = path.read_text()
        lines += text.count("\n")
        packed += [
            f"{path.relative_to(PACKAGE)}:{node.lineno}" for node in ast.walk(ast.parse(text)) if is_packed(node)
        ]
    assert len(packed) <= 0.5 * lines / 1000, packed


def is_packed(node: ast.AST) -> TypeGuard[ast.Assign]:
    """Whether a statement assigns several values to as many names, and is not a swap of them."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    if not isinstance(node.targets[0], ast.Tuple):
        return False
    targets = {ast.unparse(item) for item in node.targets[0].elts}
    return not targets & {ast.unparse(item) for item in node.value.elts}


# Not the English of a technical manual; docs that explain a phrase do not exist.
NOT_OUR_ENGLISH = re.compile(
    r"\b(is told|are told|was told|says nothing|say nothing|anew|besides|lest|shall|goes on|all the same|"
    r"that of|so many|stands for|for ever|in vain|is to be|holds up|as ever|of one's own|"
    r"(?<!there )is no (?!longer|such)|again and again)\b",
    re.IGNORECASE,
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file that users may read: strings of a module, every line of another file."""
    if path.suffix != ".py":
        yield from enumerate(path.read_text().splitlines(), 1)
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "place",
    [
        "gymctl/config",
        "gymctl/stack",
        "gymctl/engines",
        "gymctl/operations",
        "gymctl/environments",
        "gymctl/cli",
        "compose",
        "templates",
        "dockerfiles",
    ],
)
def test_texts_are_plain_english(place: str) -> None:
    wrong = [
        f"{path.relative_to(TOP)}:{line}: {match[0]}"
        for path in sorted((TOP / place).rglob("*"))
        if path.is_file() and path.suffix not in (".pyc", ".json") and "_bundled" not in path.parts
        for line, text in texts(path)
        for match in NOT_OUR_ENGLISH.finditer(text)
    ]
    assert wrong == []
