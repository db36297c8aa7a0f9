"""The ``ray:`` block and the address of a cluster: what they mean, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from config_files import Folder

from gymctl.config import Config, Placement
from gymctl.config.blocks.ray import VERSION, RayBlock, RayKeys
from gymctl.config.blocks.schema import schema
from gymctl.engines.local.ignored_settings import ignored_settings
from gymctl.errors import ConfigError

SERVER = """
x-policy: &policy {type: responses_api_models, name: policy_model}
math:
  resources_servers:
    library_judge_math: {entrypoint: app.py, domain: math, judge_model_server: *policy}
"""
ADDRESS = "ray://cluster:10001"


def block(folder: Folder, text: str) -> RayBlock | None:
    return folder.loaded(f"{SERVER}{text}\n").ray


def problems(folder: Folder, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        folder.loaded(f"{SERVER}{text}\n")
    return [str(problem) for problem in caught.value.problems]


def test_no_block_is_no_cluster(folder: Folder) -> None:
    config = folder.loaded(SERVER)
    assert config.ray is None
    assert "ray_head_node_address" not in config.values
    assert block(folder, "ray: null") is None


def test_an_empty_block_is_a_head_and_one_node(folder: Folder) -> None:
    ray = block(folder, "ray: {}")
    assert ray is not None
    assert (ray.workers, ray.cpus, ray.dashboard_port, ray.version) == (1, None, 8265, VERSION)


def test_a_block_says_all_of_it(folder: Folder) -> None:
    ray = block(
        folder,
        "ray: {workers: 3, cpus: 2, object_store: 1gb, shm_size: 2gb, memory: 4gb, dashboard: 9000, version: '2.60.0', "
        "placement: {role: worker}, x-why: shared}",
    )
    assert ray is not None
    assert (ray.workers, ray.cpus, ray.object_store, ray.shm_size) == (3, 2, "1gb", "2gb")
    assert (ray.memory, ray.dashboard_port, ray.version, ray.placement) == (
        "4gb",
        9000,
        "2.60.0",
        Placement(role="worker"),
    )
    assert ray.location is not None
    assert ray.location.line == 6


@pytest.mark.parametrize(("written", "port"), [("true", 8265), ("false", None), ("null", 8265), ("9001", 9001)])
def test_a_dashboard_is_a_port_of_this_machine(folder: Folder, written: str, port: int | None) -> None:
    ray = block(folder, f"ray: {{dashboard: {written}}}")
    assert ray is not None
    assert ray.dashboard_port == port


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ray: {worker: 2}", "did you mean 'workers'?"),
        ("ray: 3", "a mapping with the keys workers, cpus"),
        ("ray: {workers: -1}", "a number of nodes from 0 (the head alone) to 1000"),
        ("ray: {workers: 1001}", "a number of nodes from 0 (the head alone) to 1000"),
        ("ray: {cpus: 1001}", "from 1 to 1000"),
        ("ray: {object_store: 200}", "a size with its unit, such as 512mb"),
        ("ray: {shm_size: big}", "a size with its unit, such as 512mb"),
        ("ray: {memory: 4}", "a size with its unit, such as 512mb"),
        ("ray: {dashboard: 99999}", "true, false, or a port"),
        ("ray: {version: latest}", f"such as '{VERSION}'"),
        ("ray: {placement: gpu}", "ray.placement is 'gpu'; it must be a mapping with the keys role, host, labels"),
        ("ray: {placement: {rule: worker}}", "did you mean 'role'?"),
        (f"ray: {{workers: 2}}\nray_head_node_address: {ADDRESS}", "names an external cluster"),
        ("ray_head_node_address: foo", "is 'foo', which is not a cluster address; use ray://HOST:PORT"),
        ("ray_head_node_address: ray://h:99999", "is 'ray://h:99999', which is not a cluster address"),
        ("ray_head_node_address: ray://h", "is 'ray://h', which is not a cluster address"),
        ("ray_head_node_address: 6379", "is 6379, which is not a cluster address"),
        ("ray: {dashboard: 11000}", "ray.dashboard: port 11000 of this machine is already used by the head server"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(folder: Folder, text: str, message: str) -> None:
    (problem,) = problems(folder, text)
    assert message in problem
    assert ":6:" in problem


def test_a_cluster_of_ones_own_may_have_a_version(folder: Folder) -> None:
    ray = block(folder, f"ray: {{version: '2.60.0'}}\nray_head_node_address: {ADDRESS}")
    assert ray is not None
    assert ray.version == "2.60.0"


def with_environ(folder: Folder, text: str, address: str) -> Config:
    return folder.loaded(f"{SERVER}{text}\n", environ={"RAY_ADDRESS": address})


@pytest.mark.parametrize(
    ("text", "address", "taken"),
    [
        ("", ADDRESS, ADDRESS),
        ("ray_head_node_address: ray://other:1", ADDRESS, "ray://other:1"),
        ("ray: {}", ADDRESS, None),
        ("", "auto", None),
        ("", "10.0.0.1:6379", None),
        ("", "", None),
    ],
)
def test_ray_address_stands_in_where_nothing_is_said(
    folder: Folder, text: str, address: str, taken: str | None
) -> None:
    config = with_environ(folder, text, address)
    assert config.values.get("ray_head_node_address") == taken
    assert any("RAY_ADDRESS names" in note for note in config.notes) == (taken == ADDRESS)
    unusable = address != "" and not address.startswith("ray://")
    assert any("containers do not use it" in note for note in config.notes) == unusable


def test_an_address_of_the_environment_is_checked_too(folder: Folder) -> None:
    with pytest.raises(ConfigError) as caught:
        with_environ(folder, "", "ray://cluster:0")
    assert str(caught.value).startswith(
        "RAY_ADDRESS: ray_head_node_address is 'ray://cluster:0', which is not a cluster address"
    )


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "ray://[::1]:10001", "ray://cluster:10001/"])
def test_what_a_process_here_can_dial_is_an_address(folder: Folder, address: str) -> None:
    assert folder.loaded(f"{SERVER}ray_head_node_address: '{address}'").ray is None


def test_a_dashboard_takes_no_port_where_none_is_started(folder: Folder) -> None:
    text = f"{SERVER}ray: {{version: '2.60.0'}}\nray_head_node_address: {ADDRESS}"
    assert folder.loaded(text, "+head_server.port=8265").head.port == 8265
    assert folder.problems(f"{SERVER}ray: {{}}", "+head_server.port=8265") == [
        "a.yaml:6: ray.dashboard: port 8265 of this machine is already used by the head server; choose another port"
    ]


def test_one_process_starts_no_cluster(folder: Folder) -> None:
    assert [note for note in ignored_settings(folder.loaded(f"{SERVER}ray: {{}}")) if note.startswith("ray ")]
    assert not list(ignored_settings(folder.loaded(f"{SERVER}ray_head_node_address: {ADDRESS}")))


def test_a_server_may_be_called_ray(folder: Folder) -> None:
    config = folder.loaded(
        "ray:\n  resources_servers:\n    example_single_tool_call: {entrypoint: app.py, domain: math}\n"
    )
    assert "ray" in config.servers
    assert config.ray is None


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ({"workers": 2, "x-why": "shared"}, True),
        ({"placement": {"role": "worker"}}, True),
        ({"resources_servers": {}}, True),
        ({"worker": 2}, False),
        (3, False),
    ],
)
def test_editors_know_the_block(written: Any, right: bool) -> None:
    assert jsonschema_rs.is_valid(schema(), {"ray": written}) is right
    assert set(RayKeys.model_fields) == set(schema()["$defs"]["RayKeys"]["properties"])
    server = {"math": {"resources_servers": {"library_judge_math": {"needs_ray": "often"}}}}
    assert not jsonschema_rs.is_valid(schema(), server)
