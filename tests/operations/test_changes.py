"""The changes that ``up`` would make, as values and as lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymctl import InputError, ServerChange, StackChanges, changes, load
from gymctl.cli.plan import _lines
from gymctl.engines.state import StackState, save_state
from gymctl.operations.changes import Reason, _location_of_container_key

pytestmark = pytest.mark.unit

REASONS = tuple(Reason(f"a.b{number}", "1", "", "stack.yaml:3") for number in range(10))
FOUND = StackChanges(
    name="demo",
    servers=(
        ServerChange("head", "unchanged", 1, 1),
        ServerChange("env", "replaced", 1, 1, REASONS),
        ServerChange("old", "removed", 2, 0, notes=("the configuration has no such server",)),
    ),
    images=("image:1",),
    collections=("/data/out.jsonl",),
)


def test_changes_are_counted() -> None:
    assert FOUND.summary == "1 image built, 1 replaced, 1 removed, 1 unchanged"
    assert not FOUND.is_empty
    assert StackChanges("demo", FOUND.servers[:1]).is_empty
    assert not StackChanges("demo", FOUND.servers[:1], images=("image:1",)).is_empty


def test_changes_are_plain_data() -> None:
    plain = FOUND.to_json()
    assert plain["changes"] is True
    assert plain["servers"][1]["reasons"][0] == {"path": "a.b0", "old": "1", "new": "", "place": "stack.yaml:3"}
    assert plain["servers"][2]["notes"] == ["the configuration has no such server"]


def test_lines_have_what_changes_and_why() -> None:
    lines = list(_lines(FOUND))
    assert lines[0] == "build      image image:1"
    assert lines[1] == "replaced   env"
    assert lines[2].strip() == "a.b0: 1 -> (none) (stack.yaml:3)"
    assert "and 2 more values" in lines[10]
    assert not any("head" in line for line in lines)
    assert "/data/out.jsonl" in lines[-2]
    assert lines[-1] == "demo: 1 image built, 1 replaced, 1 removed, 1 unchanged"


@pytest.mark.parametrize(("engine", "words"), [("local", "locally"), ("swarm", "on a Swarm")])
def test_changes_are_found_for_compose_only(engine: str, words: str, tmp_path: Path) -> None:
    save_state(tmp_path, StackState(engine=engine, name="demo", head_url="", servers=()))
    config = load("examples/quickstart", directory=Path(__file__).parents[2])
    with pytest.raises(InputError, match=words):
        changes(config, directory=tmp_path)


def test_a_log_driver_is_placed_at_the_servers_key_or_at_the_stacks(tmp_path: Path) -> None:
    server = "  responses_api_models:\n    scripted_model: {entrypoint: app.py}\n"
    text = f"logs:\n  driver: journald\none:\n{server}  logging: {{driver: local}}\ntwo:\n{server}"
    (tmp_path / "stack.yaml").write_text(text)
    config = load("stack.yaml", directory=tmp_path)

    def line(service: str, *keys: str) -> str:
        return str(_location_of_container_key(keys, service, config))

    assert line("two", "logging", "driver") == line("head", "logging", "driver") == "stack.yaml:2"
    assert line("two", "logging", "options", "tag") == "stack.yaml:1"
    assert line("one", "logging", "driver") == "stack.yaml:6"
    assert line("two", "ports") == "None"


def test_the_hosts_of_a_proxy_are_placed_at_the_servers_list(tmp_path: Path) -> None:
    server = "  resources_servers:\n    weather: {entrypoint: app.py, domain: agent}\n"
    (tmp_path / "stack.yaml").write_text(f"one:\n{server}  egress: [api.test]\n")
    config = load("stack.yaml", directory=tmp_path)
    place = _location_of_container_key(("environment", "GYMCTL_EGRESS_HOSTS"), "one-egress", config)
    assert str(place) == "stack.yaml:4"
