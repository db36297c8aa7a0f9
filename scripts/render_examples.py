"""Render every example into its expected output: ``python scripts/render_examples.py``, then look at the difference.

tests/cli/test_examples.py holds the examples to it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gymctl.config.vocabulary import POLICY_TOKEN

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EXPECTED = "compose.expected.yaml"
EXPECTED_STACK = "stack.expected.yaml"  # for Swarm, of the examples that have one
TARGETS = {"compose": (), "swarm": ("--target", "swarm")}


def examples() -> list[Path]:
    """The folders of the examples."""
    return sorted(path.parent for path in EXAMPLES.glob("*/stack.yaml"))


def overlays() -> list[Path]:
    """The stack files of the examples that have several: those beside their ``base/``."""
    return sorted(path for path in EXAMPLES.glob("*/*.yaml") if (path.parent / "base").is_dir() and _is_stack(path))


def patterns() -> list[tuple[Path, Path]]:
    """The examples that a script can play through: the stack file and its rows, which say what the script earns."""
    named = [(folder / "stack.yaml", folder / "rows.jsonl") for folder in examples() if folder.name != "quickstart"]
    named += [(path, path.parent / "rows" / f"{path.stem}.jsonl") for path in overlays()]
    return [(stack, rows) for stack, rows in named if rows.is_file()]


def _is_stack(path: Path) -> bool:
    return not path.name.endswith((".expected.yaml", ".example.yaml"))


def render(example: Path, options: tuple[str, ...] = (), stack: str = "stack.yaml") -> str:
    """What ``gymctl render STACK`` writes in a copy of the example whose ``env.yaml`` is the example's own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / example.name
        shutil.copytree(example, place, ignore=shutil.ignore_patterns("*.expected.yaml"))
        if (place / "env.example.yaml").exists():
            (place / "env.example.yaml").rename(place / "env.yaml")
        command = [sys.executable, "-m", "gymctl.cli.main", "render", stack, *options]
        # the names of a Swarm's secrets have a digest of their values
        environ = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), POLICY_TOKEN: "token-of-the-examples"}
        return subprocess.run(command, cwd=place, env=environ, check=True, capture_output=True, text=True).stdout


def expected() -> list[tuple[Path, str, tuple[str, ...]]]:
    """Each expected file, the stack file in its folder that it is of, and the options that it is rendered with."""
    stack = "stack.yaml"
    several = overlays()
    return [
        *((folder / EXPECTED, stack, TARGETS["compose"]) for folder in examples()),
        *((path.parent / f"compose.{path.stem}.expected.yaml", path.name, TARGETS["compose"]) for path in several),
        *((path, stack, TARGETS["swarm"]) for path in sorted(EXAMPLES.glob(f"*/{EXPECTED_STACK}"))),
    ]


if __name__ == "__main__":
    for path, file, options in expected():
        path.write_text(render(path.parent, options, file), encoding="utf-8")
        print(path)
