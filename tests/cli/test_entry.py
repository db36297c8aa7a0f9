"""Ctrl-C at any moment of the command's start: no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = "from gymctl.cli.entry import main; main()"
# stands in for a library that is being imported when the interrupt comes
SLOW = "import sys, time\nprint('importing', flush=True)\ntime.sleep({seconds})\nsys.exit('imported')\n"


@pytest.mark.parametrize(("ignored", "code"), [(False, 130), (True, 1)])
def test_an_interrupt_while_the_command_is_imported(tmp_path: Path, ignored: bool, code: int) -> None:
    (tmp_path / "typer.py").write_text(SLOW.format(seconds=1 if ignored else 60))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,  # noqa: PLW1509
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert errors == ("imported\n" if ignored else "")


def test_the_command_runs() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gymctl")


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_are_nothing_and_no_file_has_their_numbers(closed: tuple[int, ...], tmp_path: Path) -> None:
    script = "import os, sys; from gymctl.cli.entry import main, open_streams; open_streams()\n"
    script += f"assert os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY) > 2\nmain()"

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    done = subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False, preexec_fn=close
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gymctl") == (1 not in closed)
    assert (tmp_path / "file").read_bytes() == b""
