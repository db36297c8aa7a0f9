"""A stack does not become another one while rollouts are collected from it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gymctl.engines.collections import (
    changed_collections,
    collection_in_the_way,
    disturbed_collections,
    registered,
    running_collections,
)
from gymctl.engines.server_code import folder_digest
from gymctl.engines.state import StackState
from gymctl.errors import EngineError

STATE = StackState(engine="local", name="s", head_url="", servers=(), config_digest="a", code={"judge": "1"})


def test_another_configuration_or_code_disturbs_a_running_collection(tmp_path: Path) -> None:
    with registered(tmp_path, tmp_path / "out.jsonl"):
        (running,) = running_collections(tmp_path)
        assert running.output == str(tmp_path / "out.jsonl")
        assert disturbed_collections(tmp_path, STATE, "a", {"judge": "1"}) == []
        assert disturbed_collections(tmp_path, None, "b", {}) == []
        for state in (replace(STATE, config_digest="b"), replace(STATE, code={"judge": "2"})):
            assert disturbed_collections(tmp_path, state, "a", {"judge": "1"}) == [running]
        refusal = collection_in_the_way(running)
        assert f"{running.output} is using this stack (process {running.pid})" in str(refusal)
    assert running_collections(tmp_path) == []
    assert disturbed_collections(tmp_path, STATE, "b", {}) == []


@pytest.mark.processes
def test_a_killed_collection_is_none_that_runs(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from gymctl.engines.collections import registered\n"
        "with registered(Path('.'), Path('out.jsonl')): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert list((tmp_path / ".gymctl").glob("collect-*"))
    assert running_collections(tmp_path) == []
    assert not list((tmp_path / ".gymctl").glob("collect-*"))


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename"])
def test_a_digest_of_code_is_that_of_what_a_server_reads(tmp_path: Path, change: str) -> None:
    (tmp_path / "app.py").write_text("one")
    (tmp_path / "data.json").write_text("{}")
    before = folder_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "app.pyc").write_text("x")
    (tmp_path / "README.md").write_text("words")
    (tmp_path / "nowhere").symlink_to("gone")
    assert folder_digest(tmp_path) == before
    if change == "edit":
        (tmp_path / "app.py").write_text("two")
    elif change == "add":
        (tmp_path / "more.py").write_text("")
    elif change == "remove":
        (tmp_path / "data.json").unlink()
    else:
        (tmp_path / "data.json").rename(tmp_path / "other.json")
    assert folder_digest(tmp_path) != before


def test_a_change_under_a_collection_is_refused_or_noted(tmp_path: Path) -> None:
    with registered(tmp_path, tmp_path / "out.jsonl"):
        with pytest.raises(EngineError, match="is using this stack"):
            changed_collections(tmp_path, STATE, "b", {}, allowed=False)
        (note,) = changed_collections(tmp_path, STATE, "b", {}, allowed=True)
        assert "out.jsonl continues on the changed stack" in note
    assert changed_collections(tmp_path, STATE, "b", {}, allowed=False) == []
