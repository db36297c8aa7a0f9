"""What ``status`` shows of a Swarm: servers with replicas and nodes, the nodes, and what became of replicas."""

import io

from rich.console import Console
from rich.table import Table

from gymctl.cli.nodes import nodes_table
from gymctl.cli.output import history_table, status_table
from gymctl.engines.protocol import Moment, Node, ServerStatus


def table_lines(table: Table) -> list[str]:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


LOST = Moment("2026-11-21T14:42:41.5Z", 2, "n3", "was lost: the node is down (heartbeat failure); then on n2")
ENDED = Moment("2026-11-21T14:40:00Z", 1, "n1", "exited with code 2; then on n1")
AGENT = ServerStatus(
    "agent", "responses_api_agents", "simple_agent", "running", "healthy", 65.0, "http://agent:8081", restarts=1,
    replicas=3, running=2, nodes=("n1", "n2"), history=(ENDED,),
)  # fmt: skip
MODEL = ServerStatus("model", "responses_api_models", "m", "pending", "", None, "http://model:8000", running=0,
                     history=(LOST,))  # fmt: skip


def test_servers_with_replicas_and_nodes() -> None:
    header, agent, model = table_lines(status_table([AGENT, MODEL], is_wide=True))
    assert header == "server kind state health replicas nodes uptime address"
    assert "agent responses_api_agents/simple_agent running" in agent and "http://agent:8081" in agent
    assert "running, 1 restart healthy 2/3 n1, n2 1m05s" in agent
    assert "pending - 0/1 - -" in model


def test_a_line_of_every_server_fits_into_80_columns() -> None:
    name = "example_multi_step_simple_agent"
    many = ServerStatus(
        name, "responses_api_agents", "simple_agent", "running", "unhealthy", 36000.0, "http://x:1",
        restarts=2, replicas=14,
    )  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(status_table([many]))
    lines = console.export_text().splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "server kind state replicas uptime",
        f"{name} agent unhealthy, 2 restarts 0/14 10h00m",
    ]


def test_what_happened_in_order_of_time() -> None:
    lines = table_lines(history_table([MODEL, AGENT]))
    assert lines[1:] == [
        "2026-11-21 14:40:00 agent.1 n1 exited with code 2; then on n1",
        "2026-11-21 14:42:41 model.2 n3 was lost: the node is down (heartbeat failure); then on n2",
    ]


def test_nodes_with_their_servers_or_their_labels() -> None:
    nodes = [Node("i1", "n1", "manager", "ready", "active", "10.0.0.1", leader=True, labels={"gymctl.gpu": "true"})]
    assert table_lines(nodes_table(nodes))[1] == "n1 manager ready active 10.0.0.1 gymctl.gpu=true"
    assert (
        table_lines(nodes_table(nodes, {"i1": ["head", "agent"]}))[1] == "n1 manager ready active 10.0.0.1 head, agent"
    )
    assert table_lines(nodes_table(nodes, {}))[1].endswith("10.0.0.1 -")
