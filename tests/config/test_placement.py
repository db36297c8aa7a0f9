"""``placement:`` and ``resources:``: who wins, and what is wrong said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from config_files import Folder

from gymctl.config import Placement, ResourceLimits
from gymctl.config.blocks.placement import Reservation, read_placement, read_placements, read_resources
from gymctl.config.diagnostics import Findings
from gymctl.engines.local.ignored_settings import ignored_settings

SERVERS = """
tool:
  resources_servers:
    example_single_tool_call:
      entrypoint: app.py
      domain: agent
      {own}
"""


def test_nobody_says_anything(folder: Folder) -> None:
    config = folder.loaded(SERVERS.format(own=""))
    assert {(server.placement, server.limits) for server in config.servers.values()} == {(None, None)}
    assert config.placements.of("head") is None
    assert list(ignored_settings(config)) == []


def test_the_nearer_one_wins_key_by_key(folder: Folder) -> None:
    """Seed 002's coordinator, GPU node and CPU node."""
    own = "placement: {labels: {disk: ssd}, spread: [zone], host: null}"
    config = folder.loaded(
        SERVERS.format(own=own)
        + """
placement:
  role: worker
  head: {role: manager}
  models: {gpu: true}
  resources: {gpu: false, host: n3, labels: {pool: cpu, fast: true}}
  addons: {labels: null}
"""
    )
    assert config.servers["policy_model"].placement == Placement(role="worker", gpu=True)
    assert config.servers["tool"].placement == Placement(
        role="worker", gpu=False, labels={"pool": "cpu", "fast": "true", "disk": "ssd"}, spread=("zone",)
    )
    assert config.placements.of("head") == Placement(role="manager")
    assert config.placements.of("addons") == Placement(role="worker")
    (note,) = ignored_settings(config)
    assert note == "placement and resources (policy_model, tool) have no effect with the local engine"


def test_one_process_starts_no_cluster_for_a_server_that_needs_ray(folder: Folder) -> None:
    (note,) = ignored_settings(folder.loaded(SERVERS.format(own="needs_ray: true")))
    assert note == "needs_ray (tool) has no effect with the local engine: checks run in subprocesses"


@pytest.mark.parametrize(
    ("workers", "notes"), [(1, []), (4, ["num_workers (tool) has no effect with the local engine"])]
)
def test_several_processes_are_not_one(folder: Folder, workers: int, notes: list[str]) -> None:
    config = folder.loaded(SERVERS.format(own=f"num_workers: {workers}"))
    assert list(ignored_settings(config)) == notes


def test_labels_are_taken_back_with_null(folder: Folder) -> None:
    top = "placement: {labels: {pool: cpu, zone: a}}\n"
    one = folder.loaded(top + SERVERS.format(own="placement: {labels: {zone: null}}"))
    assert one.servers["tool"].placement == Placement(labels={"pool": "cpu"})
    assert folder.loaded(top + SERVERS.format(own="placement: {labels: null}")).servers["tool"].placement is None


def test_it_may_stand_beside_the_kind_key(folder: Folder) -> None:
    config = folder.loaded(SERVERS.format(own="") + "  placement: {gpu: A100}\n  resources: {cpus: 2}\n")
    assert config.servers["tool"].placement == Placement(gpu="A100")
    assert config.servers["tool"].limits == ResourceLimits(cpus=2)
    assert config.notes == ()


def test_an_override_places_a_server(folder: Folder) -> None:
    config = folder.loaded(SERVERS.format(own=""), "+placement.role=worker", "+placement.labels.pool=a")
    assert config.servers["tool"].placement == Placement(role="worker", labels={"pool": "a"})


def test_limits(folder: Folder) -> None:
    own = "resources: {cpus: 1.5, memory: 2gb, pids: 100, gpus: [0, GPU-1], reserve: {cpus: 0.5, memory: 512mb}}"
    limits = folder.loaded(SERVERS.format(own=own)).servers["tool"].limits
    assert limits == ResourceLimits(
        cpus=1.5, memory="2gb", pids=100, gpus=("0", "GPU-1"), reserve=Reservation(cpus=0.5, memory="512mb")
    )


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ("placement: {roel: worker}", "tool: unknown key 'placement.roel'; did you mean 'role'?"),
        ("placement: {role: boss}", "tool: placement.role is 'boss'; it must be manager or worker"),
        ("placement: {host: [a, b]}", "tool: placement.host is ['a', 'b']; it must be one host name, or !NAME"),
        ("placement: {labels: {a b: c}}", "tool: placement.labels is {'a b': 'c'}; it must be a mapping of node"),
        ("placement: {gpu: 2}", "tool: placement.gpu is 2; it must be true, false, or the kind of GPU"),
        ("placement: {spread: 'a b'}", "tool: placement.spread is 'a b'; it must be a node label"),
        ("placement: {max_replicas_per_node: 0}", "tool: placement.max_replicas_per_node is 0; it must be a number"),
        ("placement: worker", "tool: placement is 'worker'; it must be a mapping with the keys role, host, labels"),
        ("placement: {head: {role: manager}}", "tool: unknown key 'placement.head'"),
        ("resources: {cpu: 1}", "tool: unknown key 'resources.cpu'; did you mean 'cpus'?"),
        ("resources: {cpus: 0}", "tool: resources.cpus is 0; it must be a number of processors"),
        ("resources: {cpus: true}", "tool: resources.cpus is True; it must be a number of processors"),
        ("resources: {memory: 4}", "tool: resources.memory is 4; it must be a size with its unit"),
        (
            "resources: {gpus: []}",
            "tool: resources.gpus is []; it must be a number of GPUs, a list of GPU ids (numbers or",
        ),
        (
            "resources: {gpus: [0, '0']}",
            "tool: resources.gpus is [0, '0']; it must be a number of GPUs, a list of GPU ids",
        ),
        ("resources: {gpus: [-1]}", "tool: resources.gpus is [-1]; it must be a number of GPUs, a list of GPU ids"),
        ("resources: {reserve: {pids: 3}}", "tool: unknown key 'resources.reserve.pids'; known keys: cpus, memory"),
        (
            "resources: {memory: 512mb, reserve: {memory: 1gb}}",
            "tool: reserve.memory is 1gb, more than its limit 512mb; lower the reservation, or raise the limit",
        ),
        (
            "resources: {gpus: 1}\n      placement: {gpu: false}",
            "tool requests GPUs, but its placement is gpu: false; remove one of them",
        ),
    ],
)
def test_what_is_wrong_has_its_place(folder: Folder, own: str, problem: str) -> None:
    (message,) = folder.problems(SERVERS.format(own=own))
    assert message.startswith(f"a.yaml:7: {problem}")


def test_keys_beside_the_kind_have_their_place_too(folder: Folder) -> None:
    beside = "tool: {resources: {gpus: 1}, placement: {gpu: false}}\n"
    (message,) = folder.problems(SERVERS.format(own=""), f"++{beside.replace(': ', '=', 1).strip()}")
    assert message.startswith("command line (++tool): tool requests GPUs, but its placement is gpu: false")


def test_the_top_level_is_checked_too(folder: Folder) -> None:
    assert folder.problems(SERVERS.format(own="") + "placement: [worker]\n") == [
        "a.yaml:8: placement is ['worker']; it must be a mapping with the keys role, host, labels, gpu, spread, "
        "max_replicas_per_node, head, models, agents, resources and addons"
    ]
    (problem,) = folder.problems(SERVERS.format(own="") + "placement: {modles: {gpu: true}}\n")
    assert problem == "a.yaml:8: unknown key 'placement.modles'; did you mean 'models'?"


def test_what_the_page_shows_is_right() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "swarm.md").read_text(encoding="utf-8")
    documented = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    findings = Findings()
    assert read_placements(documented["placement"], findings).of("head") == Placement(role="manager")
    server = documented["math"]["resources_servers"]["library_judge_math"]
    assert read_placement(server["placement"], (), findings) == Placement(
        labels={"pool": "math"}, max_replicas_per_node=2
    )
    assert read_resources(server["resources"], (), findings) == ResourceLimits(
        cpus=2, memory="4gb", reserve=Reservation(memory="1gb")
    )
    assert findings.problems == []
