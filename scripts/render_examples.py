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


def examples() -> list[Path]:
    """The folders of the examples."""
    return sorted(path.parent for path in EXAMPLES.glob("*/stack.yaml"))


def render(example: Path) -> str:
    """What ``gymctl render stack.yaml`` writes in a copy of the example whose ``env.yaml`` is the example's own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / example.name
        shutil.copytree(example, place, ignore=shutil.ignore_patterns(EXPECTED))
        if (place / "env.example.yaml").exists():
            (place / "env.example.yaml").rename(place / "env.yaml")
        command = [sys.executable, "-m", "gymctl.cli.main", "render", "stack.yaml"]
        environ = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
        return subprocess.run(command, cwd=place, env=environ, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    for folder in examples():
        (folder / EXPECTED).write_text(render(folder), encoding="utf-8")
        print(folder / EXPECTED)
