"""Clients of NeMo Gym 0.7.0 and 0.4.0, unmodified, on stacks of gymctl's servers, of each release's and of both.

On the local engine, on Compose and on a Swarm of one node, which is made of this machine's engine unless it is in one.
Every cell collects 50 rollouts in each of two ways, with their right rewards. The matrix of what passed is printed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from os import getpid
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_openai import endpoint
from free_ports import free_port
from gym_clients import Client
from gym_stack import (
    AGENTS,
    ENVIRONMENTS,
    MODELS,
    VERSIONS,
    Row,
    agent,
    for_agent,
    gymctl,
    read_rows,
    rows_with_rewards,
    stack_of,
    turn_server,
    write_rows,
)

pytestmark = [pytest.mark.docker, pytest.mark.lab]

REPEATS = 5
ROLLOUTS = 50
EXPECTED = [
    reward for environment in ENVIRONMENTS for _, reward in rows_with_rewards(environment) for _ in range(REPEATS)
]
# Columns that their collector writes: ours writes the first with ``observability: true``, and not the other.
THEIRS_ALONE = {"ng_trajectory", "_ng_result_type"}
TASK_ENVIRONMENT = "example_multi_step"
TURNS = {"theirs": ("nemo-gym", "their"), "ours": ("gymctl", "our")}


@dataclass(frozen=True)
class Kind:
    """An engine, and the release of NeMo Gym whose servers are in the stack; none on the local engine."""

    engine: str
    release: str = ""

    def __str__(self) -> str:
        return f"{self.engine}-{self.release}" if self.release else self.engine


LOCAL = Kind("local")
KINDS = [LOCAL, *(Kind(engine, release) for engine in ("compose", "swarm") for release in VERSIONS)]
MATRIX: dict[tuple[str, str, str], str] = {}


def configuration(kind: Kind, url: str, port: int) -> Row:
    """All pairings of servers; where there are environment servers, two with agents of their own."""
    if kind == LOCAL:
        return stack_of(url, port, {"ours": AGENTS["ours"]})
    whole = stack_of(url, port)
    if kind.release != "0.4.0":
        for name, (runtime, who) in TURNS.items():
            environment = f"{who}_{TASK_ENVIRONMENT}"
            whole[f"{name}_turn_agent"] = agent(runtime, environment, f"{who}_model")
            whole[f"{name}_turn"] = turn_server(environment, f"{name}_turn_agent")
        whole["environment_server_routes"] = {f"{name}_tasks": f"{name}_turn" for name in TURNS}
    return whole


@dataclass(frozen=True)
class Collected:
    """What a client collected from the agents of a stack: agent -> rewards, metrics; and direct answers."""

    rewards: dict[str, list[Any]]
    evaluated: dict[str, list[Any]]
    means: dict[str, float]
    direct: dict[str, list[Any]]
    status: str


@dataclass
class Stack:
    """A running stack and what its clients collected."""

    kind: Kind
    directory: Path
    name: str
    port: int
    whole: Row
    collected: dict[str, Collected] = field(default_factory=dict)

    @cached_property
    def head(self) -> str:
        """The id of the head's container."""
        label = {"compose": f"com.docker.compose.project={self.name}", "swarm": "com.docker.swarm.service.name"}
        chosen = label[self.kind.engine]
        if self.kind.engine == "swarm":
            filters = ["--filter", f"label={chosen}={self.name}_head"]
        else:
            filters = ["--filter", f"label={chosen}", "--filter", "label=com.docker.compose.service=head"]
        return docker("ps", "--quiet", *filters).split()[0]

    def client(self, release: str) -> Client:
        folder = self.directory / f"client-{release}"
        if self.kind == LOCAL:
            return Client(release, "127.0.0.1", self.port, folder)
        return Client(release, "head", self.port, folder, self.head)

    @property
    def agents(self) -> list[str]:
        """The groups of agents that clients collect from."""
        return ["ours"] if self.kind == LOCAL else list(AGENTS)

    def servers(self) -> int:
        """How many servers there are."""
        return sum("entrypoint:" in line for line in yaml.safe_dump(self.whole).splitlines())

    def by(self, release: str) -> Collected:
        """What a client of that release collected, which it does once for all cells of this stack."""
        if release not in self.collected:
            self.collected[release] = self._collect(self.client(release))
        return self.collected[release]

    def _collect(self, client: Client) -> Collected:
        rows = [row for servers in self.agents for row in rows_of(servers)]
        models = tuple(name for name in MODELS if name in self.whole)
        calls = client.calls(rows, models)
        results, metrics = client.evaluation(rows, "evaluation")
        return Collected(
            rewards=split(self.agents, calls["rewards"]),
            evaluated=split(self.agents, [result["reward"] for result in results]),
            means={entry["agent_ref"]["name"]: entry["key_metrics"]["mean/reward"] for entry in metrics},
            direct=calls["direct"],
            status=client.status(),
        )


def rows_of(servers: str) -> list[Row]:
    """The rows of a cell, each several times in a row."""
    return [
        for_agent(row, f"{servers}_{environment}")
        for environment in ENVIRONMENTS
        for row, _ in rows_with_rewards(environment)
        for _ in range(REPEATS)
    ]


def split(agents: list[str], values: list[Any]) -> dict[str, list[Any]]:
    """Values of all rows, by the agents they are of."""
    assert len(values) == ROLLOUTS * len(agents)
    return {name: values[place * ROLLOUTS : (place + 1) * ROLLOUTS] for place, name in enumerate(agents)}


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@contextmanager
def one_node_swarm() -> Iterator[None]:
    """This machine's engine as the only node of a Swarm, unless it is in one already."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "inactive":
        yield
        return
    docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--default-addr-pool", "10.201.0.0/16")
    try:
        yield
    finally:
        docker("swarm", "leave", "--force")


@pytest.fixture(scope="module", params=KINDS, ids=str)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    kind: Kind = request.param
    directory = tmp_path_factory.mktemp(str(kind))
    # short, since Swarm limits the names of services, which begin with it
    name = f"gymtest-{getpid()}-{kind.release or 'local'}".replace(".", "")
    with ExitStack() as cleanup:
        if kind.engine == "swarm":
            cleanup.enter_context(one_node_swarm())
        model_port = cleanup.enter_context(endpoint())
        port = free_port()
        whole = configuration(kind, f"http://localhost:{model_port}/v1", port)
        (directory / "stack.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
        options = ["--engine", kind.engine, *(["--gym-version", kind.release] if kind.release else [])]
        cleanup.callback(remove, directory)
        gymctl(directory, "up", "stack.yaml", "--name", name, "--timeout", 600, *options, timeout=1500)
        yield Stack(kind, directory, name, port, whole)


def remove(directory: Path) -> None:
    if (directory / ".gymctl" / "stack.json").exists():
        gymctl(directory, "down")


@pytest.fixture(scope="module", autouse=True)
def matrix(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints what passed, after the last test."""
    yield
    lines = [f"{server:32} {place:8} {client:14} {counts}" for (server, place, client), counts in MATRIX.items()]
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *lines, sep="\n")


def refusal_of_the_local_engine(folder: Path, servers: str) -> str:
    """Why the local engine does not run servers, one of which is of NeMo Gym."""
    whole = stack_of("http://localhost:1/v1", free_port(), {servers: AGENTS[servers]})
    (folder / "stack.yaml").write_text(yaml.safe_dump(whole))
    printed = gymctl(folder, "up", "stack.yaml", "--engine", "local", code=2)
    assert "is written for NeMo Gym, which runs only in containers" in printed
    return "refused: NeMo Gym's servers run only in containers"


@pytest.mark.parametrize("client", VERSIONS)
@pytest.mark.parametrize("servers", AGENTS)
def test_a_client_collects_from_servers(stack: Stack, servers: str, client: str, tmp_path: Path) -> None:
    if servers not in stack.agents:
        MATRIX[servers, "local", f"client {client}"] = refusal_of_the_local_engine(tmp_path, servers)
        return
    collected = stack.by(client)
    assert len(EXPECTED) == ROLLOUTS
    assert collected.rewards[servers] == EXPECTED
    assert collected.evaluated[servers] == EXPECTED
    agents = [f"{servers}_{environment}" for environment in ENVIRONMENTS]
    assert {name: collected.means[name] for name in agents} == dict.fromkeys(
        agents, pytest.approx(sum(EXPECTED) / ROLLOUTS)
    )
    assert {name: collected.direct[name] for name in agents} == {name: [200, 1.0, "success"] for name in agents}
    models = [name for name in MODELS if name in stack.whole]
    assert [collected.direct[name] for name in models] == [[200, "response", "success"]] * len(models)
    count = stack.servers()
    assert f"{count} servers found ({count} healthy, 0 unhealthy)" in collected.status
    counts = f"{len(collected.rewards[servers])} run_examples, {len(collected.evaluated[servers])} eval run"
    MATRIX[f"{servers} ({stack.kind.release or 'gymctl'})", stack.kind.engine, f"client {client}"] = counts


def tasks(name: str) -> list[tuple[Row, float]]:
    """Rows as NeMo Gym 0.7 prepares them with a taskset, and their rewards."""
    rows = []
    for number, (row, reward) in enumerate(rows_with_rewards(TASK_ENVIRONMENT)):
        identity = {"taskset": f"{name}_tasks", "task_id": f"task-{number}"}
        rows += [({"task_id": identity, "task_input": row}, reward)] * (ROLLOUTS // 5)
    return rows


@pytest.mark.parametrize("name", TURNS)
def test_tasks_run_through_an_environment_server(stack: Stack, name: str) -> None:
    if f"{name}_turn" not in stack.whole:
        pytest.skip("0.4.0 has no environment servers, and the local engine runs none of NeMo Gym's")
    rows = [row for row, _ in tasks(name)]
    expected = [reward for _, reward in tasks(name)]
    route = f"+environment_server_routes.{name}_tasks={name}_turn"  # NeMo Gym's client does not ask the head for it
    theirs, _ = stack.client("0.7.0").evaluation(rows, f"{name}-tasks", route)
    assert [result["reward"] for result in theirs] == expected
    MATRIX[f"{name} + single_agent_turn", stack.kind.engine, "client 0.7.0"] = f"{len(theirs)} eval run"
    write_rows(stack.directory / f"{name}.jsonl", rows)
    gymctl(stack.directory, "collect", "--input", f"{name}.jsonl", "--output", f"{name}_out.jsonl", "--force")
    ours = sorted(read_rows(stack.directory / f"{name}_out.jsonl"), key=lambda row: row["_ng_task_index"])
    assert [result["reward"] for result in theirs] == [result["reward"] for result in ours] == expected
    assert {result["_ng_environment_server"] for result in theirs} == {f"{name}_turn"}
    assert {str(result["_ng_environment_server"]) for result in ours} == {f"{name}_turn"}
    missing = [theirs[place].keys() - ours[place].keys() - THEIRS_ALONE for place in range(ROLLOUTS)]
    assert missing == [set()] * ROLLOUTS
    MATRIX[f"{name} + single_agent_turn", stack.kind.engine, "gymctl collect"] = f"{len(ours)} collect"
