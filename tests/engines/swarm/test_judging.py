"""What the Swarm says about services and tasks, as its API said it once, read and judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gymctl.engines.protocol import Node, ServerStatus
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.swarm.nodes import parse_node, swarm_problem
from gymctl.engines.swarm.task_health import describe_failure, judge
from gymctl.engines.swarm.task_history import server_status
from gymctl.engines.swarm.tasks import SwarmService, Task, parse_service, parse_task

RECORDED = Path(__file__).parent / "recorded"
AGENT = "example_single_tool_call_simple_agent"

Recording = tuple[dict[str, SwarmService], list[Task], dict[str, Node]]
"""Services by server, tasks oldest first and nodes by id."""


def recorded(name: str) -> Recording:
    """What was recorded of a stack called ``one``."""
    listed = json.loads((RECORDED / f"{name}.json").read_text())
    services = {service.name: service for service in (parse_service(item, "one") for item in listed["services"])}
    nodes = [parse_node(item) for item in listed["nodes"]]
    names = {service.id: service.name for service in services.values()}, {node.id: node.name for node in nodes}
    tasks = sorted((parse_task(item, *names) for item in listed["tasks"]), key=lambda task: task.created)
    return services, tasks, {node.id: node for node in nodes}


def status_of(server: str, recording: Recording) -> ServerStatus:
    services, tasks, nodes = recording
    return server_status(ServerAddress(server, "kind", "impl", f"http://{server}:1"), services[server], tasks, nodes)


def test_an_update_that_was_rolled_back_names_its_culprit() -> None:
    services, tasks, _ = recorded("rolled_back")
    judgement = judge(services[AGENT], tasks)
    assert not judgement.done
    assert judgement.culprit is not None and judgement.culprit.exit_code == 2
    assert judgement.reason == f"update failed and was rolled back: {describe_failure(judgement.culprit)}"
    assert judge(services["policy_model"], tasks).done


def test_tasks_that_were_there_before_are_not_blamed() -> None:
    services, tasks, _ = recorded("rolled_back")
    assert judge(services[AGENT], tasks, before={task.id for task in tasks}).culprit is None


def test_status_tells_that_a_node_went_down_and_where_its_servers_went() -> None:
    status = status_of("head", recorded("node_down"))
    assert (status.state, status.running, status.replicas, status.nodes) == ("running", 1, 1, ("swarm-lab-n3",))
    lost = status.history[-1]
    assert (lost.node, lost.replica) == ("swarm-lab-n2", 1)
    assert lost.what == "was lost: the node is down (heartbeat failure); then on swarm-lab-n3"


@pytest.mark.parametrize("last", ["old", "new"])
def test_a_machine_that_left_and_joined_anew_is_known_by_its_id(last: str) -> None:
    """It is listed twice, under one name; where in the list the old one stands says nothing."""
    services, tasks, nodes = recorded("node_down")
    runs = next(task for task in tasks if task.service == "head" and task.runs and nodes[task.node_id].state == "ready")
    present = nodes.pop(runs.node_id)
    old = replace(present, id="old", state="down")
    both = [old, present] if last == "new" else [present, old]
    status = status_of("head", (services, tasks, {**nodes, **{node.id: node for node in both}}))
    assert (status.state, status.running, status.node_ids) == ("running", 1, (present.id,))


def test_status_tells_a_failed_update() -> None:
    status = status_of(AGENT, recorded("rolled_back"))
    assert status.ok and status.restarts == 1
    assert any(moment.what.startswith("exited with code 2") for moment in status.history)
    assert [moment.when for moment in status.history] == sorted(moment.when for moment in status.history)


def test_a_server_without_a_service_is_missing() -> None:
    status = server_status(ServerAddress("gone", "kind", "impl", "http://gone:1"), None, [], {})
    assert (status.state, status.running, status.ok) == ("missing", 0, False)


SERVICE = SwarmService("s", "agent", replicas=2, version=1, template={"ContainerSpec": {"Image": "new"}})


def task(
    number: int,
    state: str,
    *,
    slot: int = 1,
    desired: str = "running",
    image: str = "new",
    exit_code: int = 0,
    error: str = "",
) -> Task:
    template = {"ContainerSpec": {"Image": image}}
    stamp = f"2026-01-01T00:00:{number:02d}Z"
    return Task(
        id=f"t{number}",
        service="agent",
        slot=slot,
        node="n1",
        state=state,
        desired=desired,
        created=stamp,
        changed=stamp,
        error=error,
        exit_code=exit_code,
        template=template,
    )


def test_done_when_all_replicas_are_of_the_present_definition() -> None:
    assert judge(SERVICE, [task(1, "running"), task(2, "running", slot=2)]).done
    assert not judge(SERVICE, [task(1, "running")]).done
    stale = [task(1, "running"), task(2, "running", slot=2), task(3, "running", slot=2, image="old")]
    assert not judge(SERVICE, stale).done
    assert not judge(replace(SERVICE, update="updating"), stale[:2]).done


def test_no_replicas_are_there_at_once() -> None:
    assert judge(replace(SERVICE, replicas=0), []).done


def test_the_second_failure_in_a_slot_is_one_too_many() -> None:
    once = [task(1, "failed", desired="shutdown", exit_code=3), task(2, "starting")]
    assert judge(SERVICE, once).reason == ""
    assert judge(SERVICE, once).health == "starting"
    elsewhere = [*once, task(3, "failed", slot=2, desired="shutdown", exit_code=3)]
    assert judge(SERVICE, elsewhere).reason == ""
    again = [*once, task(3, "failed", desired="shutdown", exit_code=3)]
    assert judge(SERVICE, again).reason == "exited with code 3 on n1, repeatedly (restart loop)"


def test_an_image_that_is_not_there_fails_at_once() -> None:
    missing = task(1, "rejected", desired="shutdown", error="No such image: agent:1")
    assert judge(SERVICE, [missing]).reason == "cannot be started on n1: No such image: agent:1"


def test_a_task_without_a_node_says_why() -> None:
    waiting = task(1, "pending", error="no suitable node (insufficient resources on 3 nodes)")
    assert judge(SERVICE, [waiting]).waiting.startswith("no suitable node")


def test_while_swarm_rolls_back_there_is_nothing_to_raise() -> None:
    judgement = judge(replace(SERVICE, update="rollback_started"), [task(1, "failed", desired="shutdown")])
    assert (judgement.state, judgement.reason, judgement.done) == ("rolling back", "", False)
    assert judgement.culprit is not None


@pytest.mark.parametrize(
    ("swarm", "message", "hint"),
    [
        ({"LocalNodeState": "inactive"}, "not part of a Swarm", "docker swarm init"),
        ({"LocalNodeState": "locked"}, "locked", "docker swarm unlock"),
        ({"LocalNodeState": "error", "Error": "no leader"}, "no leader", ""),
        (
            {"LocalNodeState": "active", "ControlAvailable": False, "RemoteManagers": [{"Addr": "10.0.0.7:2377"}]},
            "worker",
            "10.0.0.7",
        ),
    ],
)
def test_an_engine_that_is_no_manager_says_what_to_do(swarm: dict[str, Any], message: str, hint: str) -> None:
    problem = swarm_problem(swarm)
    assert problem is not None and message in problem.message and hint in problem.hint


def test_a_manager_is_no_problem() -> None:
    assert swarm_problem({"LocalNodeState": "active", "ControlAvailable": True}) is None
