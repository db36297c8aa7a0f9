"""How the containers of a running stack are replaced: which start first, which end, and what they are called then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gymctl.engines.compose.changes import Action, Difference, ServiceChange
from gymctl.engines.compose.container_names import take_over_names
from gymctl.engines.compose.trial import trial_document
from gymctl.engines.compose.update_order import PUBLISHES, stop_first_reasons
from gymctl.engines.compose.update_plan import UpdatePlan, plan_update
from gymctl.engines.docker.containers import Container
from gymctl.stack import labels

pytestmark = pytest.mark.unit

GPU = {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], "count": 1}]}}}


def change(
    service: str,
    action: Action = Action.REPLACED,
    *,
    replicas: int = 1,
    differences: tuple[Difference, ...] = (),
    stop_first: str = "",
) -> ServiceChange:
    return ServiceChange(
        name=service,
        service=service,
        action=action,
        running=1,
        replicas=replicas,
        differences=differences,
        stop_first=stop_first,
    )


def container(
    service: str,
    number: int = 1,
    *,
    digest: str = "old",
    state: str = "running",
    health: str = "healthy",
    completes: bool = False,
) -> Container:
    return Container(
        id=f"{service}-{number}",
        service=service,
        state=state,
        health=health,
        started_at=f"2026-01-01T00:00:0{number}Z",
        completes=completes,
        config_digest=digest,
        name=f"demo-{service}-{number}",
    )


def planned(changes: list[ServiceChange], containers: list[Container], **needs: list[str]) -> UpdatePlan:
    """The update when each service has the digest ``new`` in the new file."""
    return plan_update(changes, containers, {item.service: "new" for item in changes}, needs)


def ended(update: UpdatePlan) -> list[str]:
    return [item.id for item in update.retired]


def test_as_many_new_replicas_start_as_there_will_be_and_all_old_ones_end() -> None:
    old = [container("agent", number) for number in (1, 2)]
    update = planned([change("agent", replicas=4)], old)
    assert update.start_first == {"agent": 6}
    assert ended(update) == ["agent-1", "agent-2"]
    assert update.stop_first == update.trials == ()


def test_an_update_that_was_cut_off_is_completed() -> None:
    there = [container("agent"), container("agent", 2, digest="new")]
    update = planned([change("agent")], there)
    assert update.start_first == {}
    assert ended(update) == ["agent-1"]


def test_a_secret_replaces_containers_of_the_same_definition() -> None:
    secret = (Difference(("secrets", "KEY"), "sha256:1", "sha256:2"),)
    update = planned([change("model", differences=secret)], [container("model", digest="new")])
    assert update.start_first == {"model": 2}
    assert ended(update) == ["model-1"]


def test_what_publishes_a_port_is_tried_first_and_other_reasons_stop_at_once() -> None:
    changes = [change("head", stop_first=PUBLISHES), change("vllm", stop_first="it uses GPUs")]
    update = planned(changes, [container("head"), container("vllm")])
    assert update.start_first == {}
    assert set(update.stop_first) == {"head", "vllm"}
    assert update.trials == ("head",)
    assert ended(update) == []


def test_what_stops_first_stops_after_what_it_needs() -> None:
    changes = [change("model", stop_first="it depends on vllm, which stops first"), change("vllm", stop_first="GPUs")]
    update = planned(changes, [container("model"), container("vllm")], model=["vllm"])
    assert update.stop_first == ("vllm", "model")


def test_new_servers_start_with_the_new_versions_and_a_new_port_is_taken_last() -> None:
    created = [change("edge", Action.CREATED, stop_first=PUBLISHES), change("env", Action.CREATED, replicas=2)]
    update = planned([*created, change("head", stop_first=PUBLISHES)], [container("head")])
    assert update.start_first == {"env": 2}
    assert set(update.stop_first) == {"head", "edge"}
    assert update.trials == ("head",)


def test_removed_and_surplus_containers_end_and_the_rest_stays() -> None:
    there = [container("env", number, digest="new") for number in (1, 2, 3)]
    changes = [change("env", Action.SCALED), change("old", Action.REMOVED, replicas=0), change("x", Action.UNCHANGED)]
    update = planned(changes, [*there, container("old"), container("x")])
    assert ended(update) == ["env-2", "env-3", "old-1"]
    assert not update.start_first
    assert not planned([change("x", Action.UNCHANGED)], [container("x")])


def test_a_surplus_container_that_has_stopped_ends_before_one_that_runs() -> None:
    there = [container("env", digest="new", state="exited"), container("env", 2, digest="new")]
    for action in (Action.SCALED, Action.STARTED):
        assert ended(planned([change("env", action)], there)) == ["env-1"]
    assert not planned([change("env", Action.STARTED, replicas=2)], there)


def test_surplus_containers_stay_while_new_ones_of_their_callers_start() -> None:
    models = [container("model", number, digest="new") for number in (1, 2, 3)]
    changes = [change("agent"), change("model", Action.SCALED), change("alone", Action.SCALED)]
    there = [*models, container("agent"), container("alone", digest="new"), container("alone", 2, digest="new")]
    update = planned(changes, there, agent=["env"], env=["model"])
    assert update.start_first == {"agent": 2}
    assert update.held == {"model": 3}, "Compose ends surplus containers of what it starts at once"
    assert ended(update) == ["agent-1", "model-2", "model-3", "alone-2"]


def test_a_service_without_a_healthy_container_is_left_to_compose() -> None:
    for state, health in (("restarting", ""), ("exited", ""), ("running", "unhealthy")):
        assert not planned([change("env")], [container("env", state=state, health=health)])


def test_a_one_shot_service_that_has_ended_runs_again_before_what_needs_it() -> None:
    done = container("prefetch", state="exited", health="", completes=True)
    update = planned([change("prefetch")], [done])
    assert update.start_first == {"prefetch": 1}
    assert update.retired == (done,)


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ({}, ""),
        ({"ports": [{"target": 80, "published": "8080"}]}, PUBLISHES),
        ({"ports": [{"target": 80}]}, ""),
        ({"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}, "it writes to a volume"),
        ({"volumes": [{"type": "bind", "source": "/data", "target": "/data", "read_only": True}]}, ""),
        ({"volumes": [{"type": "tmpfs", "target": "/tmp"}]}, ""),
        ({"deploy": GPU}, "it uses GPUs"),
        ({"deploy": GPU, "ports": [{"target": 80, "published": "8080"}]}, "it uses GPUs"),
        ({"labels": {labels.KIND: "ray"}}, "it is part of a Ray cluster"),
        ({"container_name": "mine"}, "its container has a fixed name"),
        ({"network_mode": "host"}, "it uses the network of another container or of this machine"),
    ],
)
def test_two_versions_run_at_once_unless_something_can_be_used_only_once(service: dict[str, Any], reason: str) -> None:
    assert stop_first_reasons({"a": service}) == ({"a": reason} if reason else {})


def test_a_trial_has_no_port_and_answers_to_the_name_of_its_service() -> None:
    head = {"image": "x", "ports": [{"published": "1"}], "networks": {"one": None, "two": {"aliases": ["a"]}}}
    document: dict[str, Any] = {"services": {"head": head, "env": {"image": "y"}}, "secrets": {"S": {"file": "s"}}}
    trial = trial_document(document, ["head"])
    assert trial["services"]["head-next"] == {
        "image": "x",
        "networks": {"one": {"aliases": ["head"]}, "two": {"aliases": ["a", "head"]}},
    }
    assert {key: trial[key] for key in ("secrets",)} == {"secrets": document["secrets"]}
    assert trial["services"].items() >= document["services"].items()


class Renames:
    """The part of a Docker client that renames containers; ``taken`` are names of other containers."""

    def __init__(self, taken: tuple[str, ...] = ()) -> None:
        self.api = self
        self.names: dict[str, str] = {}
        self._taken = taken

    def rename(self, identity: str, name: str) -> None:
        from docker.errors import APIError

        if name in self._taken:
            raise APIError("conflict")
        self.names[identity] = name


def test_new_containers_take_over_the_names_of_old_ones() -> None:
    there = [container("agent", 3), container("agent", 4), container("env"), replace(container("head", 2), name="mine")]
    client = Renames()
    take_over_names(client, "demo", there)
    assert client.names == {"agent-3": "demo-agent-1", "agent-4": "demo-agent-2", "head-2": "demo-head-1"}
    taken = Renames(("demo-agent-1",))
    take_over_names(taken, "demo", there)
    assert taken.names == {"agent-4": "demo-agent-2", "head-2": "demo-head-1"}
