"""The report file of a run."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from result_rows import failure, result, write

from gymctl.errors import InputError
from gymctl.results import Index, write_report_page
from gymctl.results.report_page import MOST_BYTES


def report_data(page: str) -> dict[str, Any]:
    match = re.search(r'id="data">([^<]*)<', page)
    assert match
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(match[1])))
    return data


def written(path: Path, output: Path) -> dict[str, Any]:
    with Index.open(path) as index:
        page = write_report_page(index, output)
    assert page.size == output.stat().st_size <= MOST_BYTES
    return report_data(output.read_text())


def test_it_has_aggregates_of_all_rollouts_and_conversations_of_50(tmp_path: Path) -> None:
    rows = [result(task, repeat, reward=float((task + repeat) % 2)) for task in range(100) for repeat in range(4)]
    path = write(tmp_path / "r.jsonl", rows, [failure(200)])
    data = written(path, tmp_path / "report.html")
    assert data["totals"]["rollouts"] == 401
    assert data["statistics"]["agents"][0]["rollouts"] == 400
    assert len(data["rollouts"]) == 50
    assert len({entry["rollout"]["id"] for entry in data["rollouts"]}) == 50
    assert data["rollouts"][0]["reason"] == "failed"
    assert {"failed", "lowest reward", "highest reward", "slowest", "sample"} <= {
        entry["reason"] for entry in data["rollouts"]
    }
    assert len(data["stretches"]) == 100


def test_texts_that_do_not_compress_are_cut_until_it_fits(tmp_path: Path) -> None:
    source = random.Random(1)
    rows = []
    for task in range(60):
        noise = base64.b64encode(source.randbytes(150_000)).decode()
        rows.append(result(task, verdict=noise, notes=noise[::-1], **{noise[:5000]: 1}))
    data = written(write(tmp_path / "r.jsonl", rows), tmp_path / "report.html")
    assert len(data["rollouts"]) == 50
    cut = [field for field in data["rollouts"][0]["transcript"]["verifier"] if field["name"] == "verdict"]
    assert cut[0]["cut"] == {"text": 200_000}


def test_names_without_bound_do_not_make_it_large(tmp_path: Path) -> None:
    source = random.Random(1)

    def name() -> str:
        return base64.b64encode(source.randbytes(500)).decode()

    rows = [result(task, agent_ref={"name": name()}, **{name(): task}) for task in range(300)]
    for row in rows:
        row["_gymctl_timing"]["hops"] = {name(): 1.0 for _ in range(70)}
        row["response"]["output"][1]["name"] = name() * 50
    failures = [failure(1000 + task, failure_class=name()) for task in range(300)]
    written(write(tmp_path / "r.jsonl", rows, failures), tmp_path / "report.html")


def test_an_empty_run(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch()
    data = written(path, tmp_path / "report.html")
    assert data["rollouts"] == []


def test_no_text_of_a_row_is_outside_of_the_data(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    path = write(tmp_path / f"{'x' * 3}&<b>.jsonl", [result(0, verdict=hostile, agent_ref={"name": hostile})])
    output = tmp_path / "report.html"
    data = written(path, output)
    page = output.read_text()
    assert hostile not in page
    assert "<b>.jsonl" not in page
    assert data["label"] == "xxx&<b>.jsonl"


def test_it_refers_to_nothing_outside(tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    written(write(tmp_path / "r.jsonl", [result(0)]), output)
    page = output.read_text()
    assert not re.search(r"""\b(?:src|href)=["'](?!data:)""", page)
    assert "default-src 'none'" in page
    assert "'unsafe" not in page.split("<style>")[0]


def test_a_folder_that_is_missing_is_explained_and_nothing_is_left(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    with Index.open(path) as index:
        with pytest.raises(InputError, match="choose another file with --output"):
            write_report_page(index, tmp_path / "missing" / "report.html")
        (tmp_path / "folder").mkdir()
        with pytest.raises(InputError, match="folder"):
            write_report_page(index, tmp_path / "folder")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "r.index.sqlite", "r.jsonl"]
