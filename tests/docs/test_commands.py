"""Every command block of the README and the docs that can run does run. A block that cannot is not marked ``bash``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from secrets import token_hex

import pytest
from _pytest.mark.structures import ParameterSet
from free_ports import free_port

pytestmark = pytest.mark.processes

TOP = Path(__file__).parents[2]
PAGES = [
    *sorted(TOP.glob("*.md")),
    *(
        page
        for folder in ("docs", "services", "examples", "benchmarks")
        for page in sorted((TOP / folder).rglob("*.md"))
    ),
]
CONTINUED = {TOP / "docs" / "tutorial.md"}
"""Pages whose blocks build on each other, and run as one."""
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"(?<=head_server\.port=)\d+")
INSTALL = re.compile(r"^python3 -m venv|^source .*activate$", re.MULTILINE)


def blocks() -> list[ParameterSet]:
    """Each block with the name of its page; those that start containers carry the ``docker`` mark."""
    params = []
    for page in PAGES:
        texts = BLOCK.findall(page.read_text(encoding="utf-8"))
        if page in CONTINUED:
            texts = ["".join(texts)]
        for number, text in enumerate(texts, 1):
            if page == TOP / "README.md" and number <= 2:
                continue  # they install; .ci/run and a newcomer run them as they stand
            needs = re.search(r"docker |gymctl up(?!.*--engine local)", text)
            marks = [pytest.mark.docker] if needs else []
            params.append(pytest.param(text, marks=marks, id=f"{page.relative_to(TOP)}-{number}"))
    return params


@pytest.mark.parametrize("block", blocks())
def test_a_block_runs_as_it_stands(block: str, tmp_path: Path) -> None:
    directory = tmp_path / f"page-{token_hex(4)}"  # the stack's name: others may run this test on the same engine
    directory.mkdir()
    (directory / "examples").symlink_to(TOP / "examples")
    script = PORT.sub(str(free_port()), INSTALL.sub("", block))
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(TOP),
        "TMPDIR": str(tmp_path),
    }
    command = ["bash", "-euo", "pipefail", "-c", script]
    try:
        done = subprocess.run(
            command, cwd=directory, env=environ, check=False, capture_output=True, text=True, timeout=240
        )
    finally:
        for state in tmp_path.rglob(".gymctl/stack.json"):  # a block that failed half-way leaves its stack
            subprocess.run(["gymctl", "down"], cwd=state.parents[1], env=environ, check=False, capture_output=True)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def test_the_first_blocks_of_the_readme_are_the_promised_ones() -> None:
    """What a newcomer and CI run as they stand."""
    first, second = BLOCK.findall((TOP / "README.md").read_text(encoding="utf-8"))[:2]
    assert first == "python3 -m venv .venv && .venv/bin/pip install -q .\n.venv/bin/gymctl quickstart\n"
    assert ".venv/bin/pytest -q -n auto --dist loadfile" in second
