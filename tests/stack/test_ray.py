"""The stack's Ray cluster: who uses it, its services and image, and what is to be seen of a cluster of the user's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import Config, Placement, Placements
from gymctl.config.blocks.ray import RayBlock
from gymctl.errors import ConfigError
from gymctl.stack import RayCheck, ServicePlan, StackOptions, StackPlan, plan_stack, render_stack

ADDRESS = "ray_head_node_address"
CLUSTER = "ray://10.0.0.9:10001"
MATH_PATH = "/opt/gymctl/services/resources_servers/library_judge_math"


def stack(
    block: RayBlock | None = None, *, address: str = "", needs: bool = False, more: tuple[Any, ...] = (), **fields: Any
) -> Config:
    """A math environment, whose checks can run on Ray, its agent and model, which have none; and ``more``."""
    math = server(
        "math",
        RESOURCES,
        {"domain": "math", "judge_model_server": ref(MODEL, "policy"), **fields},
        implementation="library_judge_math",
    )
    pair = {"resources_server": ref(RESOURCES, "math"), "model_server": ref(MODEL, "policy")}
    agent = server("math_agent", AGENT, pair)
    model = server("policy", MODEL, implementation="scripted_model")
    values = {ADDRESS: address} if address else {}
    return replace(config(replace(math, needs_ray=needs), agent, model, *more, values=values), ray=block)


def plan(whole: Config) -> StackPlan:
    return plan_stack(whole, name="demo", options=StackOptions(version="1.2.3"))


def services(planned: StackPlan) -> dict[str, ServicePlan]:
    return {service.name: service for service in planned.services}


def slice_values(service: ServicePlan) -> Any:
    return yaml.safe_load(service.slice_text)


def theirs(tmp_path: Path) -> Any:
    folder = tmp_path / "resources_servers" / "code"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("import ray\nfrom nemo_gym.base_resources_server import SimpleResourcesServer\n")
    return server("code", RESOURCES, {"domain": "coding"}, implementation="code", folder=folder)


def test_without_a_block_there_is_no_ray_at_all() -> None:
    text = render_stack(plan(stack()))
    assert "ray" not in text.replace("array", "")
    assert plan(stack()).ray_checks == ()


def test_a_block_is_a_head_and_nodes_that_share_the_users_image() -> None:
    planned = plan(stack(RayBlock(workers=2, cpus=1, dashboard=False, memory="2gb")))
    by_name = services(planned)
    head, nodes, math = by_name["ray-head"], by_name["ray-worker"], by_name["math"]
    assert head.image == nodes.image == math.image == "gymctl-ray:1.2.3"
    assert by_name["math_agent"].image == by_name["policy"].image == "gymctl-server:1.2.3"
    image = next(image for image in planned.images if image.tag == math.image)
    assert "ray[default]==2.60.0" in image.requirements
    assert any(line.startswith("math-verify") for line in image.requirements)

    assert math.needs == ("ray-head",)
    assert slice_values(math)[ADDRESS] == "ray://ray-head:10001"
    assert ADDRESS not in slice_values(by_name["policy"])
    assert ADDRESS not in slice_values(by_name["math_agent"])
    assert slice_values(by_name["head"])[ADDRESS] == "ray://ray-head:10001"
    assert dict(math.environment)["RAY_AUTH_MODE"] == "disabled"

    assert "--num-cpus=0" in head.command[-1], "tasks run on the nodes alone"
    assert "--include-dashboard=false" in head.command[-1]
    assert head.published == ()
    assert "--num-cpus=1" in nodes.command[-1]
    assert (nodes.replicas, nodes.needs) == (2, ("ray-head",))
    for node in (head, nodes):
        assert dict(node.environment)["PYTHONPATH"] == f"/opt/gymctl:{MATH_PATH}"
        assert "--object-store-memory=209715200" in node.command[-1]
        assert node.bounds is not None
        assert node.bounds.limits is not None
        assert (node.shm_size, node.bounds.limits.memory) == ("512mb", "2gb")
    assert any("checks of math run there" in note for note in planned.notes)


def test_a_dashboard_is_for_this_machine_alone() -> None:
    head = services(plan(stack(RayBlock(dashboard=9000))))["ray-head"]
    assert head.published == (("127.0.0.1", 9000, 8265),)
    assert "--include-dashboard=true" in head.command[-1]


def test_comments_say_how_the_cluster_is_reached() -> None:
    text = render_stack(plan(stack(RayBlock(workers=1, dashboard=9000))))
    reached = "reachable at ray://ray-head:10001 on the stack's network"
    assert f"  # ray/head, {reached}; dashboard published on 127.0.0.1:9000\n  ray-head:\n" in text
    assert "  # ray/worker\n  ray-worker:\n" in text


def test_without_nodes_tasks_run_on_the_head() -> None:
    by_name = services(plan(stack(RayBlock(workers=0, cpus=3))))
    assert "--num-cpus=3" in by_name["ray-head"].command[-1]
    assert "ray-worker" not in by_name


def test_a_server_that_needs_ray_gets_one_without_a_block() -> None:
    by_name = services(plan(stack(needs=True)))
    assert "--num-cpus" not in by_name["ray-head"].command[-1], "as many as cores"
    assert "ray-worker" not in by_name
    assert slice_values(by_name["math"])[ADDRESS] == "ray://ray-head:10001"


def test_a_block_that_nobody_uses_is_said() -> None:
    whole = replace(config(server("policy", MODEL, implementation="scripted_model")), ray=RayBlock())
    planned = plan(whole)
    assert {"ray-head", "ray-worker"} <= set(services(planned))
    assert any("no server of this stack uses Ray" in note for note in planned.notes)


def test_nodes_run_where_the_block_says_and_the_head_where_addons_do() -> None:
    whole = stack(RayBlock(placement=Placement(labels={"pool": "cpu"})))
    whole = replace(whole, placements=Placements(addons=Placement(role="worker")))
    by_name = services(plan(whole))
    placements = [by_name[name].placement for name in ("ray-head", "ray-worker")]
    assert [placement and placement.constraints for placement in placements] == [
        ["node.role==worker"],
        ["node.role==worker", "node.labels.pool==cpu"],
    ]


def test_both_runtimes_cannot_share_the_stacks_ray(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"math \(gymctl\) and code \(NeMo Gym\) cannot share one Ray"):
        plan(stack(RayBlock(), more=(theirs(tmp_path),)))
    without = services(plan(stack(more=(theirs(tmp_path / "again"),))))
    assert "ray-head" in without, "NeMo Gym's server has it to itself"
    assert ADDRESS not in slice_values(without["math"])


def test_a_cluster_of_the_users_is_passed_on_and_looked_at(tmp_path: Path) -> None:
    planned = plan(stack(address=CLUSTER, more=(theirs(tmp_path),)))
    by_name = services(planned)
    assert "ray-head" not in by_name
    assert slice_values(by_name["math"])[ADDRESS] == slice_values(by_name["code"])[ADDRESS] == CLUSTER
    ours, gyms = planned.ray_checks
    assert ours == RayCheck("gymctl-ray:1.2.3", ("math",), "10.0.0.9", 10001, CLUSTER)
    assert (gyms.image, gyms.servers, gyms.is_nemo_gym) == ("gymctl-nemo-gym:0.7.0-1.2.3", ("code",), True)


def test_a_cluster_on_this_machine_is_reached_from_containers() -> None:
    planned = plan(stack(RayBlock(version="2.60.0"), address="ray://localhost:10001"))
    (check,) = planned.ray_checks
    assert (check.host, check.written_address) == ("host.docker.internal", "ray://localhost:10001")
    assert check.extra_hosts == services(planned)["math"].extra_hosts == ("host.docker.internal:host-gateway",)
    assert "ray[default]==2.60.0" in planned.images[-1].requirements


def test_a_cluster_that_nobody_uses_is_not_looked_at() -> None:
    values = {ADDRESS: CLUSTER}
    assert plan(config(server("policy", MODEL, implementation="scripted_model"), values=values)).ray_checks == ()


@pytest.mark.parametrize("address", ["10.0.0.9:6379", "auto", "ray://10.0.0.9", "http://10.0.0.9:10001"])
def test_an_address_for_nodes_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="which only nodes of that cluster can use") as caught:
        plan(stack(address=address))
    assert "ray://HOST:10001" in str(caught.value)
