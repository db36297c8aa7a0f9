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

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EXPECTED = "compose.expected.yaml"
EXPECTED_STACK = "stack.expected.yaml"  # for Swarm, of the examples that have one
TARGETS = {"compose": (), "swarm": ("--target", "swarm")}


def examples() -> list[Path]:
    """The folders of the examples."""
    return sorted(path.parent for path in EXAMPLES.glob("*/stack.yaml"))


def render(example: Path, options: tuple[str, ...] = ()) -> str:
    """What ``gymctl render stack.yaml`` writes in a copy of the example whose ``env.yaml`` is the example's own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / example.name
        shutil.copytree(example, place, ignore=shutil.ignore_patterns("*.expected.yaml"))
        if (place / "env.example.yaml").exists():
            (place / "env.example.yaml").rename(place / "env.yaml")
        command = [sys.executable, "-m", "gymctl.cli.main", "render", "stack.yaml", *options]
        environ = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
        return subprocess.run(command, cwd=place, env=environ, check=True, capture_output=True, text=True).stdout


def expected() -> list[tuple[Path, tuple[str, ...]]]:
    """Each expected file, and the options that it is rendered with."""
    stacks = sorted(EXAMPLES.glob(f"*/{EXPECTED_STACK}"))
    return [(folder / EXPECTED, TARGETS["compose"]) for folder in examples()] + [
        (path, TARGETS["swarm"]) for path in stacks
    ]


if __name__ == "__main__":
    for path, options in expected():
        path.write_text(render(path.parent, options), encoding="utf-8")
        print(path)
