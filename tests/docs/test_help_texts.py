"""What a command's help says about options is true of that command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from gymctl.cli.main import app
from gymctl.datasets.options import KINDS
from gymctl.engines.protocol import DRAIN_TIMEOUT_S
from gymctl.rollouts.spec import RunSpec
from gymctl.viewer.serving import DEFAULT_PORT

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_PASS_THRESHOLDS = {"--threshold", "--pass-threshold"}


def commands(command: Any, name: str = "gymctl") -> Iterator[tuple[str, Any]]:
    """Each command that help shows, with its full name."""
    if command.hidden:
        return
    members = getattr(command, "commands", None)
    if members is None:
        yield name, command
        return
    for member_name, member in members.items():
        yield from commands(member, f"{name} {member_name}")


COMMANDS = dict(commands(get_command(app)))


def options(command: Any) -> dict[str, Any]:
    """The options of a command, by each of their spellings."""
    return {
        spelling: parameter
        for parameter in command.params
        for spelling in (*parameter.opts, *parameter.secondary_opts)
        if spelling.startswith("-")
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_that_help_names_is_one_of_the_command(name: str) -> None:
    command = COMMANDS[name]
    context = typer.Context(command, info_name=name)
    named = set(_OPTION.findall(command.get_help(context)))
    assert named - {"--help"} <= set(options(command))


def test_the_threshold_of_a_pass_is_what_the_help_of_other_commands_says() -> None:
    defaults: dict[float, set[str]] = {}
    for name, command in COMMANDS.items():
        for spelling in _PASS_THRESHOLDS & set(options(command)):
            defaults.setdefault(options(command)[spelling].default, set()).add(name)
    assert defaults[0.5] == {"gymctl export", "gymctl data sample"}
    others = {name.split()[1] for name in defaults.pop(1.0)}
    assert others == {"collect", "results", "report"}
    assert set(defaults) == {0.5}
    for name, other in (("gymctl export", "data sample"), ("gymctl data sample", "export")):
        text = options(COMMANDS[name])["--threshold"].help
        assert f"(0.5 here and in `{other}`, 1 in `collect`, `results` and `report`)" in text


@pytest.mark.parametrize(
    ("name", "option", "default"),
    [
        ("gymctl up", "--drain", DRAIN_TIMEOUT_S),
        ("gymctl collect", "--stall", RunSpec(Path("rows.jsonl"), Path("out.jsonl")).stall_after_s),
        ("gymctl view", "--port", DEFAULT_PORT),
    ],
)
def test_a_default_that_help_writes_out_is_the_one_in_the_code(name: str, option: str, default: float) -> None:
    number = str(options(COMMANDS[name])[option].show_default).partition(",")[0]
    assert float(number) == default


def test_the_base_image_that_help_names_is_the_one_of_the_dockerfile() -> None:
    text = (Path(__file__).parents[2] / "dockerfiles" / "server.Dockerfile").read_text(encoding="utf-8")
    assert f"ARG BASE_IMAGE={options(COMMANDS['gymctl up'])['--base-image'].show_default}\n" in text


def test_the_kind_that_help_calls_the_default_is_the_first_of_each_target() -> None:
    assert "sft for trainers" in str(options(COMMANDS["gymctl export"])["--kind"].show_default)
    assert {kinds[0] for kinds in KINDS.values() if kinds} == {"sft"}
