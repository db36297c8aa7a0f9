"""Prepared files are those that NeMo Gym writes for its own data, run beside it.

``GYMCTL_UPSTREAM_PYTHON`` and ``GYMCTL_UPSTREAM_07_PYTHON`` name interpreters with nemo-gym 0.4.0 and 0.7.0.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from data_folder import DataFolder
from random_rows import RandomRows
from run_files import TOOL, answer, call, message, result, thought, tokens, write_run

from gymctl.datasets.declarations import load_declarations
from gymctl.datasets.options import InvalidRows, Mode, RowRelease
from gymctl.datasets.preparation import prepare
from gymctl.datasets.prepare_report import PrepareOptions
from gymctl.errors import InputError

pytestmark = [pytest.mark.upstream, pytest.mark.processes]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "upstream_data.py"
PYTHONS = {RowRelease.V0_4: "GYMCTL_UPSTREAM_PYTHON", RowRelease.V0_7: "GYMCTL_UPSTREAM_07_PYTHON"}

# One file that two agents declare: up to 0.5.1 every copy of its rows names the last agent, here each its own.
TWO_AGENTS = {
    "resources_servers/genrm_compare/configs/genrm_compare.yaml",
    "responses_api_agents/swe_agents/configs/swebench_multi_tools.yaml",
}
# What NeMo Gym does not get through, and gymctl does: a column with texts and numbers, two metrics of one file,
# configurations that serving cannot use as they are.
ONLY_OURS = {
    "resources_servers/iheval/configs/iheval.yaml",
    "resources_servers/jailbreak_detection/configs/jailbreak_detection_nemotron_combined_reward_tp8.yaml",
    "resources_servers/asr_with_pc/configs/asr_with_pc.yaml",
    "responses_api_agents/vcqa_agent/configs/vcqa_agent.yaml",
}
NOTHING_TO_DO = {"resources_servers/terminal_bench_4/configs/terminal_bench_4.yaml"}


def interpreter(release: RowRelease) -> str:
    """The interpreter with a release of NeMo Gym."""
    python = os.environ.get(PYTHONS[release], "")
    if not python or not Path(python).is_file():
        pytest.skip(f"{PYTHONS[release]} names no interpreter with nemo-gym {release} in it")
    return python


@pytest.mark.parametrize("release", PYTHONS)
def test_every_bundled_data_set_is_prepared_as_nemo_gym_does(
    release: RowRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [interpreter(release), str(SCRIPT), str(tmp_path / "theirs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    first, *entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["version"].startswith(release)
    outcomes: dict[str, set[str]] = {}
    for number, entry in enumerate(entries):
        ours = tmp_path / "ours" / str(number)
        ours.mkdir(parents=True)
        monkeypatch.chdir(ours)
        problem = prepared(entry["config"], first["root"], release, ours)
        outcome = compared(Path(entry["folder"]), ours) if not problem and not entry["error"] else ""
        if bool(problem) != bool(entry["error"]):
            outcome = "only theirs" if problem else "only ours"
        outcomes.setdefault(outcome, set()).add(entry["config"])
    unset = {config for config in outcomes.get("only ours", set()) if config.startswith("responses_api_agents/anyswe")}
    assert outcomes.pop("only ours", set()) - unset <= ONLY_OURS
    assert outcomes.pop("only theirs", set()) <= NOTHING_TO_DO
    assert outcomes.pop("different", set()) <= (TWO_AGENTS if release is RowRelease.V0_4 else set())
    assert len(outcomes[""]) > 120


@pytest.mark.parametrize("release", PYTHONS)
def test_random_rows_are_prepared_as_nemo_gym_does(
    release: RowRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = interpreter(release)
    for seed in range(40):
        for side in ("theirs", "ours"):
            RandomRows(seed).write(tmp_path / side / str(seed))
    command = [python, str(SCRIPT), str(tmp_path / "theirs"), *["c.yaml"] * 40]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = []
    for seed, line in enumerate(done.stdout.splitlines()[1:]):
        ours = tmp_path / "ours" / str(seed)
        monkeypatch.chdir(ours)
        assert json.loads(line)["error"] == ""
        outcomes.append(prepared("c.yaml", str(ours), release, ours) or compared(tmp_path / "theirs" / str(seed), ours))
    assert outcomes == [""] * 40


def prepared(config: str, root: str, release: RowRelease, folder: Path) -> str:
    """Prepare the examples of a configuration; returns the problem, or nothing."""
    environ = {"NEMO_GYM_EXTRA_ROOTS": root}
    mode = Mode.EXAMPLE_VALIDATION
    try:
        declarations = load_declarations([config], cwd=folder, environ=environ, mode=mode, release=release)
        keep = InvalidRows.KEEP
        prepare(
            declarations,
            PrepareOptions(mode=mode, output=folder / "out", release=release, invalid=keep, sidecars=folder),
        )
    except InputError as error:
        return str(error)
    return ""


def compared(theirs: Path, ours: Path) -> str:
    """Whether every file that NeMo Gym wrote is here with the same bytes."""
    for path in theirs.rglob("*"):
        copy = ours / path.relative_to(theirs)
        if path.is_file() and not (copy.is_file() and copy.read_bytes() == path.read_bytes()):
            return "different"
    return ""


def test_nemo_gym_reads_our_trajectories(data_folder: DataFolder) -> None:
    python = interpreter(RowRelease.V0_7)
    output = [
        thought("Hm."),
        call('{"city": "Rome"}'),
        answer("sunny"),
        message("It is sunny.", **tokens([1], [2], [-0.5])),
    ]
    write_run(data_folder.path, [result(0, 0, 0.5, output, {"tools": [TOOL]}), result(0, 1, output=[answer("?", "x")])])
    assert data_folder.gymctl("export", "rollouts.jsonl", "--to", "atif", "-o", "out")[0] == 0
    script = (
        "import pathlib; from nemo_gym.atif_v1_7 import AtifTrajectoryV1_7 as T\n"
        "for path in pathlib.Path('out').iterdir(): print(len(T.model_validate_json(path.read_bytes()).steps))"
    )
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(done.stdout.split()) == ["2", "4"]
