"""What a person sees: help in groups, colours, a moving clock, next steps that work, JSON where a script reads."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_stack import EXAMPLE, Gymctl
from free_ports import free_port
from typer.testing import CliRunner

from gymctl.cli import completion
from gymctl.cli.colours import label
from gymctl.cli.display import UpDisplay
from gymctl.cli.main import app
from gymctl.config import load_config
from gymctl.engines.build.images import BuildEvent
from gymctl.engines.protocol import ServerEvent
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState, save_state
from gymctl.operations.events import Notice, ServersExpected
from gymctl.operations.next_steps import next_commands
from gymctl.rollouts.report import AgentReport, Report, headings

COMMANDS = ["up", "collect", "render", "status", "config", "config explain", "nodes drain"]
STATE = StackState(
    engine="local",
    name="mine",
    head_url="http://127.0.0.1:1",
    servers=(
        ServerAddress("head", "head", "head", "http://127.0.0.1:1", single="it is the head"),
        ServerAddress("math", "resources_servers", "math", "http://127.0.0.1:2"),
        ServerAddress("my_agent", "responses_api_agents", "simple_agent", "http://127.0.0.1:3"),
    ),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def help_of(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "-h"], env={"COLUMNS": "80"}).output


def test_commands_are_in_groups_and_no_summary_is_cut() -> None:
    text = help_of()
    positions = [text.index(f"\n{title}:\n") for title in ("Run", "Configure", "Inspect", "Scale")]
    assert positions == sorted(positions)
    assert "Change the number of replicas of running servers. Safe during a" in text
    assert "..." not in text.replace("[ARGS]...", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_short_form_and_is_as_wide_as_the_terminal(command: str) -> None:
    assert max(map(len, help_of(*command.split()).splitlines())) <= 120
    short = CliRunner().invoke(app, [*command.split(), "-h"]).output
    assert short == CliRunner().invoke(app, [*command.split(), "--help"]).output


def test_a_label_has_a_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert label("error:", "red", Terminal()) == "\x1b[31merror:\x1b[0m"
    assert label("error:", "red", io.StringIO()) == "error:"
    monkeypatch.setenv("TERM", "dumb")
    assert label("error:", "red", Terminal()) == "error:"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert label("error:", "red", Terminal()) == "error:"


def test_the_clock_of_a_build_moves_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    display = UpDisplay()
    display.on_event(BuildEvent("image:1", "start"))
    display.on_event(BuildEvent("image:1", "step", text="pip install"))
    now = 103.5
    line = display._lines["image:1"]
    assert (line.text, line.clock()) == ("pip install", "3.5 s")
    display.on_event(BuildEvent("image:1", "done", seconds=4.0))
    now = 200.0
    assert (line.text, line.clock()) == ("built", "4.0 s")


def test_events_are_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with UpDisplay() as display:
        display.on_event(Notice("read this"))
        display.on_event(ServersExpected(("math",)))
        display.on_event(ServerEvent("math", "running", "starting", 0.5))
        display.on_event(ServerEvent("math", "running", "healthy", 1.25))
    assert capsys.readouterr().err == "note: read this\nmath: healthy (1.2 s)\n"


def test_the_next_steps_name_a_data_set_of_the_configuration(tmp_path: Path) -> None:
    paths = [
        "responses_api_models/scripted_model/configs/scripted_model.yaml",
        "resources_servers/example_multi_step/configs/example_multi_step.yaml",
    ]
    collect = next_commands(load_config(paths, cwd=tmp_path, environ={}), STATE)[1]
    assert collect == (
        "gymctl collect --input resources_servers/example_multi_step/data/example.jsonl --output rollouts.jsonl"
        " --agent example_multi_step_simple_agent"
    )


@pytest.mark.parametrize("where", ["directory", "file"])
def test_the_next_steps_name_rows_that_exist(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    argument = "examples/quickstart" if where == "directory" else "examples/quickstart/stack.yaml"
    config = load_config([argument], cwd=tmp_path, environ={})
    commands = next_commands(config, STATE)
    collect = next(command for command in commands if command.startswith("gymctl collect"))
    assert collect == "gymctl collect --input examples/quickstart/rows.jsonl --output rollouts.jsonl"
    assert commands[0] == "gymctl status" and commands[-1] == "gymctl down"


def test_passed_is_defined_where_it_is_printed() -> None:
    part = AgentReport(pass_threshold=0.5)
    for reward in (0.4, 0.5, 1.0):
        part.count(reward)
    report = Report(agents={"a": part}, pass_threshold=0.5)
    assert part.passed == 2
    assert "passed (reward >= 0.5)" in headings(report.pass_threshold)
    written = json.loads(json.dumps(report.to_json()))
    assert written["agents"]["a"]["mean_reward"] == pytest.approx(1.9 / 3)
    assert Report.from_json(written) == report


def test_names_of_the_running_stack_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.servers("") == completion.agents("") == completion.stack_names("") == []
    save_state(tmp_path, STATE)
    assert completion.servers("m") == ["math", "my_agent"]
    assert completion.agents("") == ["my_agent"]
    assert completion.replica_counts("") == ["math=", "my_agent="]
    assert completion.stack_names("m") == ["mine"]
    (tmp_path / ".gymctl" / "stack.json").write_text("nonsense")
    assert completion.servers("") == []


def test_environments_and_paths_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "weather" in completion.environments("w")
    assert completion.config_paths("") == []
    (tmp_path / "stack.yaml").write_text((EXAMPLE / "stack.yaml").read_text())
    assert "policy_model" in completion.config_paths("policy")
    assert completion.config_paths("policy_model.") == ["policy_model.responses_api_models"]
    assert completion.config_paths("policy_model.no.such") == []


@pytest.mark.processes
def test_a_choice_is_completed_by_the_shell() -> None:
    environ = {
        **os.environ,
        "_GYMCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "gymctl up --engine ",
        "COMP_CWORD": "3",
    }
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'gymctl'; from gymctl.cli.main import main; main()"]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["compose", "swarm", "local"], done.stderr


@pytest.mark.processes
def test_scripts_read_json_and_verbose_has_the_commands(gymctl: Gymctl, folder: Path) -> None:
    result = gymctl("up", EXAMPLE, "--engine", "local", "--json", f"+head_server.port={free_port()}")
    assert result.code == 0, result.err
    up = json.loads(result.out)
    assert up["engine"] == "local" and {server["name"] for server in up["servers"]} >= {"head", "policy_model"}
    count = len(up["servers"])
    assert f"{up['name']}: {count}/{count} healthy" in gymctl("status").out
    wide = gymctl("status", "-o", "wide").out
    assert up["head_url"] in wide and up["head_url"] not in gymctl("status").out
    down = json.loads(gymctl("down", "--json").out)
    assert down["name"] == up["name"]
