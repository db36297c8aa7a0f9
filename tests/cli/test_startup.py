"""What costs time to import stays out of the commands that one waits for at a prompt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer

from gymctl.cli.main import needed_modules

pytestmark = pytest.mark.processes

TOP = Path(__file__).parents[2]

HEAVY = {"ray", "fastapi", "openai", "docker", "aiohttp", "uvicorn", "httpx", "jinja2", "requests", "prometheus_client"}

ENVIRONMENT = """\
tools_{n}:
  resources_servers:
    example_single_tool_call: {{entrypoint: app.py, domain: agent}}
agent_{n}:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: tools_{n}}}
      model_server: {{type: responses_api_models, name: model_{n}}}
model_{n}:
  responses_api_models:
    scripted_model: {{entrypoint: app.py}}
"""

COMMANDS = {
    "help": (["--help"], 0),
    "help of a command": (["up", "--help"], 0),
    "render": (["render", "stack.yaml"], 0),
    "render to a file": (["render", "stack.yaml", "-o", "compose.yaml"], 0),
    "config check": (["config", "check", "stack.yaml"], 0),
    "no stack": (["status"], 2),
    "completion": (["--show-completion", "bash"], 0),
}


@pytest.mark.parametrize(("arguments", "code"), COMMANDS.values(), ids=COMMANDS)
def test_nothing_heavy_is_imported(folder: Path, arguments: list[str], code: int) -> None:
    (folder / "stack.yaml").write_text("".join(ENVIRONMENT.format(n=n) for n in range(4)))
    script = (
        "import sys\n"
        "from gymctl.cli.main import main\n"
        f"sys.argv = ['gymctl', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        f"print('\\nheavy:', code, sorted({HEAVY!r} & set(sys.modules)))"
    )
    # the shell is named: this process may have none among its ancestors
    environ = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"heavy: {code} []"


@pytest.mark.parametrize(("arguments", "is_brief"), [(["render", "stack.yaml"], True), (["status"], False)])
def test_only_brief_commands_do_without_garbage_collection_and_plugins(
    folder: Path, arguments: list[str], is_brief: bool
) -> None:
    (folder / "stack.yaml").write_text(ENVIRONMENT.format(n=1))
    script = (
        "import gc, os, sys\n"
        "from gymctl.cli.entry import main\n"
        f"sys.argv = ['gymctl', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('\\nstate:', gc.isenabled(), 'PYDANTIC_DISABLE_PLUGINS' in os.environ)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"state: {not is_brief} {is_brief}"


def command_names(line: typer.Typer) -> Iterator[str]:
    for command in line.registered_commands:
        assert command.callback is not None
        yield command.name or command.callback.__name__


def group_names(line: typer.Typer) -> Iterator[str]:
    for group in line.registered_groups:
        assert group.typer_instance is not None
        name = group.name or group.typer_instance.info.name
        assert isinstance(name, str)
        yield name


def test_each_command_is_registered_by_the_module_that_its_name_leads_to() -> None:
    for module in needed_modules([]):
        line = typer.Typer()
        import_module(f"gymctl.cli.{module}").register(line)
        names = [*command_names(line), *group_names(line)]
        assert names
        assert [needed_modules(["--no-option", name, "argument"]) for name in names] == [(module,)] * len(names)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["no-such-command"], ["ng_run"]])
def test_a_line_that_names_no_command_needs_all(arguments: list[str]) -> None:
    assert len(needed_modules(arguments)) > 10


def test_completion_needs_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GYMCTL_COMPLETE", "complete_bash")
    assert len(needed_modules(["up"])) > 10


def test_a_command_does_not_import_the_others() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['gymctl', 'config', 'show', 'examples/quickstart']\n"
        "from gymctl.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('imported:', sorted({'gymctl.cli.up', 'gymctl.cli.results', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "imported: []"
