"""Each alert fires for series beyond its threshold, stays silent for ones next to it, and is explained."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import CASES, MINUTES, Series

from gymctl import assets

FOLDER = assets.folder("templates") / "observability"
FILES = ("alerts.yaml", "vllm-alerts.yaml")
PAGE = Path(__file__).parents[2] / "docs" / "observability.md"


def rules() -> list[dict[str, Any]]:
    groups = [group for name in FILES for group in yaml.safe_load((FOLDER / name).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def case(alert: str, series: Series, *, fires: bool) -> dict[str, Any]:
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "name": f"{alert} {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": f"{MINUTES - 1}m",
                "exp_samples": samples,
            }
        ],
    }


def test_every_alert_has_its_cases() -> None:
    assert {rule["alert"] for rule in rules()} == set(CASES)
    assert len(CASES) >= 16


def test_every_alert_is_explained() -> None:
    headings = {match[1].lower() for match in re.finditer(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE)}
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/observability.md"
        assert anchor == rule["alert"].lower()
        assert anchor in headings
        assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.processes
def test_every_alert_fires_and_is_silent(tmp_path: Path, promtool: str) -> None:
    tests = [case(alert, item.firing, fires=True) for alert, item in CASES.items()]
    tests += [case(alert, item.silent, fires=False) for alert, item in CASES.items()]
    path = tmp_path / "tests.yaml"
    document = {"rule_files": [str(FOLDER / name) for name in FILES], "evaluation_interval": "1m", "tests": tests}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run([promtool, "test", "rules", str(path)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
