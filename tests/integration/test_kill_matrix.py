"""Whatever is killed, frozen or starved: nothing lost, nothing twice, nothing made up. Each kind, twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS, TIMES = 10, 2


@pytest.mark.slow
def test_every_kind_twice(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.json"
    # a freeze needs no processor: one kind more than there are
    command = [sys.executable, "-m", "benchmarks.kill_matrix", "--times", str(TIMES), "--at-once", "3"]
    done = subprocess.run(
        [*command, "--json", str(outcomes)], cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False
    )
    print(done.stdout)  # seeds and violations, for whoever has to repeat them
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(outcomes.read_text())
    assert len(report) == KINDS * TIMES
    assert all(outcome["strikes"] for outcome in report if outcome["kind"] != "collector kill -9")
