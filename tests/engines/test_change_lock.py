"""One command at a time changes a stack; the lock of a process that has ended is free."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gymctl.engines.change_lock import LOCK_FILE, change_lock
from gymctl.errors import EngineError

HOLD = """\
import sys, time
from pathlib import Path
from gymctl.engines.change_lock import change_lock
with change_lock(Path(sys.argv[1]), "gymctl up"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.unit
def test_a_second_change_is_refused_with_who_and_since_when(tmp_path: Path) -> None:
    with change_lock(tmp_path, "gymctl up"):
        with pytest.raises(EngineError) as caught, change_lock(tmp_path, "gymctl down"):
            pass
        assert str(caught.value).startswith("gymctl up of ")
        assert f"(process {os.getpid()}) has been changing this stack since 20" in str(caught.value)
        assert f"kill -INT {os.getpid()}" in caught.value.hint
    with change_lock(tmp_path, "gymctl down"):
        pass
    assert not (tmp_path / ".gymctl").exists()


@pytest.mark.unit
def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / ".gymctl").mkdir()
    (tmp_path / ".gymctl" / "stack.json").write_text("{}")
    with pytest.raises(ZeroDivisionError), change_lock(tmp_path, "gymctl up"):
        _ = 1 // 0
    assert [path.name for path in (tmp_path / ".gymctl").iterdir() if path.name != ".gitignore"] == ["stack.json"]


@pytest.mark.processes
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(EngineError, match=rf"process {process.pid}"), change_lock(tmp_path, "gymctl up"):
            pass
        process.kill()
        process.wait()
        assert (tmp_path / ".gymctl" / LOCK_FILE).exists()
        with change_lock(tmp_path, "gymctl up"):
            pass
    assert not (tmp_path / ".gymctl").exists()
