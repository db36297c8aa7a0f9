"""Every line that NeMo Gym's five pages print does what README.md in this folder says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from free_ports import free_port
from stack_actions import (
    BLOCKS,
    CASES,
    COMMANDS,
    SERVICES,
    TABLE,
    Block,
    Gymctl,
    Row,
    bash,
    command_of,
    commands_of,
    expected,
    furnish,
    rows,
)

from gymctl.stack.runtime import imports_nemo_gym

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import seeds_table

pytestmark = pytest.mark.processes

RUNNING = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
- resources_servers/example_multi_step/configs/example_multi_step.yaml
example_resources:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, domain: agent}
multi_task_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: example_single_tool_call}
      model_server: {type: responses_api_models, name: policy_model}
"""


@pytest.fixture
def gymctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gymctl:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("NEMO_GYM_EXTRA_ROOTS", "NEMO_GYM_CONFIG_DICT", "NEMO_GYM_CONFIG_PATH", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Gymctl(folder, monkeypatch, capfd)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder with a running stack: brought up by the documents' own command, on the local engine."""
    folder, port = tmp_path_factory.mktemp("running"), free_port()
    (folder / "stack.yaml").write_text(RUNNING)
    command = [sys.executable, "-m", "gymctl.cli.main"]
    environ = {**os.environ, "PYTHONPATH": str(seeds_table.TOP)}
    line = ["ng_run", "--engine", "local", "+config_paths=[stack.yaml]", f"+head_server.port={port}"]
    subprocess.run([*command, *line], cwd=folder, env=environ, check=True, capture_output=True, timeout=60)
    yield folder, port
    subprocess.run([*command, "down"], cwd=folder, env=environ, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(("block", "row"), CASES)
def test_a_printed_line(block: Block, row: Row, gymctl: Gymctl, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    how = row.get("how", "up" if "services" in row or "says" in row else "nothing")
    if how in IN_A_FOLDER:
        IN_A_FOLDER[how](block, row, gymctl, tmp_path)
    elif how in RUNNING_STACK:
        RUNNING_STACK[how](block, row, gymctl, tmp_path, request.getfixturevalue("running"))
    else:
        assert row["is"] in ("outside", "later")


def brought_up(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    """Every message in turn, each followed by its change; then the services, or the last message."""
    for other in row.get("also", ()):
        bare = {"set": "", "given": {}} if other.get("bare") else {}
        furnish(gymctl.folder, other.get("given", {}))
        check(block, {**row, "services": None, "holds": "", **bare, **other}, gymctl, scratch)
        shutil.rmtree(gymctl.folder)
        gymctl.folder.mkdir()
    furnish(gymctl.folder, row.get("given", {}))
    if "file" in row:
        (gymctl.folder / row["file"]).write_text(block["text"])
    now = dict(row)
    for step in row.get("steps", ()):
        check(block, {**now, "services": None, "notes": None, "says": step["says"]}, gymctl, scratch)
        now |= {"run": step["run"]} if "run" in step else {}
        edit(gymctl.folder, step.get("edit", []))
    check(block, now, gymctl, scratch)


def edit(folder: Path, changes: list[str]) -> None:
    """Replace, in every file of the folder that has it: old, new, old, new..."""
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        places = [path for path in folder.glob("*.yaml") if old in path.read_text()]
        assert places, f"nothing to change: {old!r}"
        for path in places:
            path.write_text(path.read_text().replace(old, new))


def check(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    name, *arguments = command_of(block, row, scratch)
    if row.get("says"):
        code, _, errors = gymctl(name, *arguments)
        assert (errors, code) == (expected(row["says"]), 2)
        return
    assert name == "ng_run"
    code, text, errors = gymctl("render", *arguments)
    expected_notes = row.get("notes") or []
    notes = [line[: len(want) - 3] + "..." if want.endswith("...") else line
             for line, want in zip_longest(errors, expected_notes, fillvalue="")]  # fmt: skip
    assert (notes, code) == (expected_notes, 0)
    if row.get("services"):  # the Ray of NeMo Gym's own servers comes and goes with them, and is no server
        assert set(yaml.safe_load(text)["services"]) - {"ray-head"} == set(row["services"])
    assert row.get("holds", "") in text


def check_steps(block: Block, row: Row, gymctl: Gymctl, scratch: Path, running: tuple[Path, int]) -> None:
    gymctl.folder = running[0]
    shutil.rmtree(gymctl.folder / "results", ignore_errors=True)
    for other in row.get("also", ()):
        (gymctl.folder / "data").mkdir(exist_ok=True)
        furnish(gymctl.folder, row["given"])
        assert gymctl(*command_of(block, {**row, **other}, scratch))[2] == other["says"]
    furnish(gymctl.folder, row.get("given", {}))
    for name in row.get("folders", ()):
        (gymctl.folder / name).mkdir()
    now = row
    for step in row.get("steps", ()):
        assert gymctl(*command_of(block, now, scratch))[2] == step["says"]
        now = {**row, "run": step["run"]}
    command = command_of(block, now, scratch)
    code, out, _ = gymctl(*command)
    assert code == 0, out
    assert [name for name in row.get("shows", ()) if name not in out] == []
    if "rollouts" in row:
        output = next(word.partition("=")[2] for word in command if word.startswith("+output_jsonl_fpath="))
        results = [json.loads(line) for line in (gymctl.folder / output).read_text().splitlines()]
        assert len(results) == row["rollouts"]
        asked = {json.dumps(json.loads(line)["responses_create_params"]["input"]): json.loads(line).get("agent_ref")
                 for line in rows(routed=row["rollouts"] == 10).splitlines()}  # fmt: skip
        for item in results:
            agent = asked[json.dumps(item["responses_create_params"]["input"])] or {"name": "multi_task_agent"}
            assert item["agent_ref"]["name"] == agent["name"]


def fetched(path: str, port: int) -> Any:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return json.load(reply)


def curled(block: Block, row: Row, gymctl: Gymctl, scratch: Path, running: tuple[Path, int]) -> None:
    assert fetched("/" + command_of(block, row, scratch)[-1].rpartition("/")[2], running[1])


def answered(block: Block, row: Row, gymctl: Gymctl, scratch: Path, running: tuple[Path, int]) -> None:
    """The endpoint's answer has every field that is printed; those that no machine decides have the same value."""
    answer = fetched(row["path"], running[1])
    if block["language"] == "json":
        (printed,) = json.loads(block["text"])
        server = next(item for item in answer if item["process_name"] == printed["process_name"])
        assert printed.keys() <= server.keys()
        assert len(server) == 13
        same = {"process_name", "server_type", "name", "entrypoint", "config_path", "status"} & printed.keys()
        assert {key: server[key] for key in same} == {key: printed[key] for key in same}
        return
    printed, served = yaml.safe_load(block["text"]), yaml.safe_load(answer)
    assert leaves(printed) <= leaves(served)


def leaves(value: Any, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")}


def check_shell(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    furnish(gymctl.folder, row["given"])
    first = next(line for line in block["text"].splitlines() if line.startswith("ng_")).replace("/tmp/", "")
    done = bash(f"{row['set']}\n{first}", gymctl.folder)
    assert (done.stdout, done.stderr) == (row["prints"], "")


def prepared(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    """As printed, and with the mode for which there is data."""
    command = command_of(block, row, scratch)
    code, _, notes = gymctl(*command)
    assert (notes, code) == (row["notes"], 0)
    assert gymctl(*command[:-1], "+mode=example_validation")[0] == 0
    assert len((gymctl.folder / "data/multi_task/example.jsonl").read_text().splitlines()) == 10


def recognised(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    (scratch / "app.py").write_text(block["text"])
    assert imports_nemo_gym(scratch, "app.py")


def is_there(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    assert (SERVICES / command_of(block, row, scratch)[1]).is_dir()


def wrote(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    commands_of(block, scratch)
    assert {name: (scratch / "scratch" / name).read_text() for name in row["writes"]} == row["writes"]


def filtered(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    folder = gymctl.folder
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    (folder / "resources_servers").symlink_to(SERVICES / "resources_servers")
    (step,) = row["steps"]
    assert bash(row["printed"], folder).stderr.partition(": line ")[2].partition(": ")[2] == (
        step["says"][0].partition("line 1: ")[2] + "\n"
    )
    assert bash(f"mkdir -p results\n{row['printed']}", folder).stderr == ""
    lines = (folder / "results/test_multiverifier_input.jsonl").read_text().splitlines()
    assert len(lines) == 5
    assert [line for line in lines if line not in map(as_jq, rows(routed=True).splitlines())] == []


def as_jq(line: str) -> str:
    return json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False)


def by_hand(block: Block, row: Row, gymctl: Gymctl, scratch: Path) -> None:
    """What the container of ``docker run`` would do: the server's own process, with the variables it is given."""
    command = command_of(block, row, scratch)
    environment = dict(word.split("=", 1) for flag, word in pairwise(command) if flag == "-e")
    port = free_port()
    environment["NEMO_GYM_CONFIG_DICT"] = environment["NEMO_GYM_CONFIG_DICT"].replace("8080", str(port))
    environ = {**os.environ, "PYTHONPATH": str(seeds_table.TOP), **environment}
    folder = SERVICES / "resources_servers/example_single_tool_call"
    start = [sys.executable, "app.py"]
    done = subprocess.run(start, cwd=folder, env=environ, check=False, capture_output=True, text=True, timeout=30)
    assert (done.stderr.splitlines(), done.returncode) == (row["steps"][0]["says"], 2)
    environ["NEMO_GYM_CONFIG_PATH"] = "example_resources"
    with subprocess.Popen(start, cwd=folder, env=environ, stderr=subprocess.DEVNULL) as server:
        try:
            assert is_up(port)
        finally:
            server.terminate()


def is_up(port: int) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=2) as reply:
                status: int = reply.status
                return status == 200
        except (URLError, ConnectionError):
            time.sleep(0.1)
    return False


IN_A_FOLDER = {
    "up": brought_up,
    "refuse": brought_up,
    "shell": check_shell,
    "jq": filtered,
    "folder": is_there,
    "writes": wrote,
    "container": by_hand,
    "recognised": recognised,
    "prepare": prepared,
}
RUNNING_STACK = {"stack": check_steps, "curl": curled, "answer": answered}


@pytest.mark.parametrize("block", TABLE["blocks"], ids=list(BLOCKS))
def test_every_command_of_a_block_has_a_row(block: Block, tmp_path: Path) -> None:
    """No more, no less, in their order; one that is no command of the list would end in 'command not found'."""
    listed = [row["printed"].split()[0] for row in block["rows"] if row["printed"].split()[0] in COMMANDS]
    before = next((row["set"] for row in block["rows"] if "set" in row), "")
    assert [command[0] for command in commands_of(block, tmp_path, before)] == listed
    assert block["rows"]


def test_the_page_is_of_this_table() -> None:
    assert seeds_table.PAGE.read_text() == seeds_table.page(TABLE), "run python scripts/seeds_table.py"
