"""What starting a stack would change, and what it has changed, by its containers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config import load_config
from gymctl.engines.compose.changes import (
    Action,
    ServiceChange,
    actions_between,
    differences,
    find_changes,
)
from gymctl.engines.compose.update_order import PUBLISHES
from gymctl.engines.compose.version import StackVersion
from gymctl.engines.docker.containers import Container
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack

pytestmark = pytest.mark.unit


FILES = (
    "responses_api_models/scripted_model/configs/scripted_model.yaml",
    "resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml",
)
ENV = "example_single_tool_call"
AGENT = "example_single_tool_call_simple_agent"


def planned(steps: int = 4) -> StackPlan:
    """A stack whose agent takes at most ``steps`` steps."""
    override = f"+{AGENT}.responses_api_agents.simple_agent.max_steps={steps}"
    config = load_config([*FILES, override], cwd=Path(), environ={})
    return plan_stack(config, name="demo", options=StackOptions("1"))


def container(
    service: str, *, digest: str = "same", state: str = "running", number: int = 1, completes: bool = False
) -> Container:
    return Container(
        id=f"{service}-{number}",
        service=service,
        state=state,
        health="healthy",
        started_at="2026-01-01T00:00:00Z",
        config_digest=digest,
        completes=completes,
    )


def running(plan: StackPlan) -> list[Container]:
    return [container(service.name) for service in plan.services]


def changes_by_name(
    plan: StackPlan,
    containers: list[Container],
    directory: Path,
    *,
    earlier: StackPlan | None = None,
    stop_first: dict[str, str] | None = None,
    digests: dict[str, str] | None = None,
) -> dict[str, ServiceChange]:
    """The changes by service; a digest is ``same`` unless it is given."""
    known = digests or {}
    changes = find_changes(
        StackVersion.of(plan),
        text=render_stack(plan),
        earlier_text=render_stack(earlier or plan),
        digests={service.name: known.get(service.name, "same") for service in plan.services},
        stop_first=stop_first or {},
        containers=containers,
        directory=directory,
    )
    return {change.name: change for change in changes}


def test_what_runs_as_planned_is_unchanged(tmp_path: Path) -> None:
    changes = changes_by_name(planned(), running(planned()), tmp_path)
    assert list(changes) == [service.name for service in planned().services]
    assert {change.action for change in changes.values()} == {Action.UNCHANGED}
    assert not any(change.differences or change.notes for change in changes.values())


def test_nothing_there_is_created(tmp_path: Path) -> None:
    assert {change.action for change in changes_by_name(planned(), [], tmp_path).values()} == {Action.CREATED}


def test_a_changed_service_is_replaced_and_says_why(tmp_path: Path) -> None:
    changes = changes_by_name(planned(8), running(planned()), tmp_path, earlier=planned(4), digests={AGENT: "other"})
    assert [change.name for change in changes.values() if change.action is Action.REPLACED] == [AGENT]
    (difference,) = changes[AGENT].differences
    assert difference.in_configuration
    assert difference.path[1:] == (AGENT, "responses_api_agents", "simple_agent", "max_steps")
    assert (difference.old, difference.new) == ("4", "8")


def test_a_service_started_from_another_file_is_replaced(tmp_path: Path) -> None:
    changes = changes_by_name(planned(), running(planned()), tmp_path, digests={ENV: "other"})
    assert changes[ENV].action is Action.REPLACED
    assert "compose.override.yaml" in changes[ENV].notes[0]


def test_a_server_that_the_configuration_lost_is_removed(tmp_path: Path) -> None:
    changes = changes_by_name(planned(), [*running(planned()), container("old")], tmp_path)
    assert changes["old"].action is Action.REMOVED
    assert (changes["old"].running, changes["old"].replicas) == (1, 0)
    assert changes["old"].notes == ("the configuration has no such server",)


def test_an_edge_that_exposes_nothing_is_removed(tmp_path: Path) -> None:
    changes = changes_by_name(planned(), [*running(planned()), container("gymctl-edge")], tmp_path)
    assert (changes["gymctl-edge"].action, changes["gymctl-edge"].notes) == (
        Action.REMOVED,
        ("no server is exposed (--expose)",),
    )


def test_a_stopped_container_is_started(tmp_path: Path) -> None:
    containers = [replace(item, state="exited" if item.service == ENV else "running") for item in running(planned())]
    changes = changes_by_name(planned(), containers, tmp_path)
    assert changes[ENV].action is Action.STARTED
    assert "has stopped" in changes[ENV].notes[0]


def test_a_stopped_container_that_is_one_too_many_is_not_started(tmp_path: Path) -> None:
    containers = [*running(planned()), replace(container(ENV, number=2), state="exited")]
    assert changes_by_name(planned(), containers, tmp_path)[ENV].action is Action.SCALED


def test_what_ended_by_itself_stays(tmp_path: Path) -> None:
    containers = [container(ENV, state="exited", completes=True), *running(planned())]
    containers = [item for item in containers if item.service != ENV or item.completes]
    assert changes_by_name(planned(), containers, tmp_path)[ENV].action is Action.UNCHANGED


def test_another_number_of_replicas_is_scaled(tmp_path: Path) -> None:
    changes = changes_by_name(planned(), [*running(planned()), container(ENV, number=2)], tmp_path)
    assert (changes[ENV].action, changes[ENV].running, changes[ENV].replicas) == (Action.SCALED, 2, 1)


def test_a_changed_secret_replaces_its_readers_and_is_not_shown(tmp_path: Path) -> None:
    plan = planned()
    services = tuple(replace(item, secrets=("KEY",)) if item.name == "policy_model" else item for item in plan.services)
    plan = replace(plan, services=services, secrets={"KEY": "sk-new-value"})
    folder = tmp_path / ".gymctl" / "secrets"
    folder.mkdir(parents=True)
    (folder / "KEY").write_text("sk-old-value")
    changes = changes_by_name(plan, running(plan), tmp_path)
    assert [change.name for change in changes.values() if change.action is Action.REPLACED] == ["policy_model"]
    assert changes["policy_model"].has_other_secrets
    (difference,) = changes["policy_model"].differences
    assert difference.old.startswith("sha256:")
    assert difference.new.startswith("sha256:")
    assert difference.old != difference.new
    assert "sk-" not in str(changes)
    (folder / "KEY").write_text("sk-new-value")
    assert changes_by_name(plan, running(plan), tmp_path)["policy_model"].action is Action.UNCHANGED


def test_what_depends_on_a_service_that_stops_first_stops_too(tmp_path: Path) -> None:
    plan = planned()
    services = tuple(replace(item, needs=("policy_model",)) if item.name == AGENT else item for item in plan.services)
    plan = replace(plan, services=services)
    reasons = {"policy_model": "it uses GPUs", "head": PUBLISHES}
    both = {"policy_model": "other", AGENT: "other"}
    changes = changes_by_name(plan, running(plan), tmp_path, stop_first=reasons, digests=both)
    assert changes[AGENT].stop_first == "it depends on policy_model, which stops first"
    alone = changes_by_name(plan, running(plan), tmp_path, stop_first=reasons, digests={AGENT: "other"})
    assert alone[AGENT].stop_first == ""


def test_a_file_that_is_not_one_of_ours_any_more_gives_no_differences(tmp_path: Path) -> None:
    plan = planned()
    changes = find_changes(
        StackVersion.of(plan),
        text=render_stack(plan),
        earlier_text="services: [",
        digests={},
        stop_first={},
        containers=running(plan),
        directory=tmp_path,
    )
    assert {change.action for change in changes} == {Action.REPLACED}


VALUES = st.recursive(st.integers() | st.text(max_size=5), lambda items: st.dictionaries(st.text(max_size=3), items))


@given(st.dictionaries(st.text(max_size=3), VALUES), st.dictionaries(st.text(max_size=3), VALUES))
def test_mappings_differ_where_their_values_do(old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = list(differences((), old, new))
    assert bool(changed) is (old != new)
    assert len({difference.path for difference in changed}) == len(changed)


@pytest.mark.parametrize(
    ("after", "action"),
    [
        ([container("env")], "unchanged"),
        ([container("env", number=2)], "replaced"),
        ([container("env"), container("env", number=2)], "scaled"),
        ([replace(container("env"), started_at="2026-01-02T00:00:00Z")], "started"),
        ([], "removed"),
    ],
)
def test_what_a_start_has_done_is_seen_by_the_containers(after: list[Container], action: str) -> None:
    assert actions_between([container("env")], after) == {action: 1}
    assert actions_between([], [container("env")]) == {"created": 1}
