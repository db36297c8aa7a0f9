"""Preparation of many rows takes bounded memory: well below the size of its input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from data_folder import DataFolder

pytestmark = [pytest.mark.slow, pytest.mark.processes]

ROWS = 200_000
SCRIPT = """
import sys
from gymctl.cli.main import main
sys.argv = ["gymctl", *sys.argv[1:]]
try:
    main()
finally:
    # not ru_maxrss, which begins with that of the process that started this one
    print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_rows(data_folder: DataFolder) -> None:
    path = data_folder.path / "rows.jsonl"
    with path.open("w") as lines:
        for number in range(ROWS):
            text = f"Question {number}: " + "how many of them are there in all? " * 25
            row = {"responses_create_params": {"input": text}, "expected_answer": str(number), "level": number % 10}
            lines.write(json.dumps(row) + "\n")
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"})
    options = ["data", "prepare", "stack.yaml", "--mode", "train_preparation", "-o", "out"]
    top = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", SCRIPT, *options]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(top)}, timeout=600
    )
    assert f"train: {ROWS} rows from 1 data sets" in done.stdout
    assert path.stat().st_size > 170 << 20
    assert int(done.stdout.splitlines()[-1]) < 130
