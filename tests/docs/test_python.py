"""The Python API: every block of its page runs, in a script and in a notebook, and has every public name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from free_ports import free_port

import gymctl

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
QUICKSTART = re.compile(r'load\("examples/quickstart"(?:, "\+head_server\.port=\d+")?')
# what a notebook is to the code in it: an event loop that runs already
NOTEBOOK = "import asyncio\nasync def cell():\n{block}\nasyncio.run(cell())\n"


@pytest.mark.processes
@pytest.mark.parametrize("is_notebook", [False, True], ids=["script", "notebook"])
@pytest.mark.parametrize("block", BLOCKS, ids=range(1, len(BLOCKS) + 1))
def test_a_block_runs_outside_of_a_checkout(block: str, is_notebook: bool, tmp_path: Path) -> None:
    script = QUICKSTART.sub(f'load("examples/quickstart", "+head_server.port={free_port()}"', block)
    if is_notebook:
        script = NOTEBOOK.format(block="".join(f"    {line}\n" for line in script.splitlines()))
    environ = {**os.environ, "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-c", script]
    try:
        done = subprocess.run(command, cwd=tmp_path, env=environ, check=False, capture_output=True, text=True)
    finally:
        if (tmp_path / ".gymctl" / "stack.json").exists():
            subprocess.run([sys.executable, "-m", "gymctl.cli.main", "down"], cwd=tmp_path, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout, "a block shows what it does"


def test_every_public_name_is_in_a_block() -> None:
    imported = {
        alias.name
        for block in BLOCKS
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and node.module == "gymctl"
        for alias in node.names
    }
    assert imported == set(gymctl.__all__) - {"__version__"}
