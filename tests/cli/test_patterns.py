"""The patterns of NeMo Gym's pages, as examples: in one process each earns what its rows say that the script earns."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from render_examples import overlays, patterns

from gymctl.config import load_config
from gymctl.operations.collect import collect_in_process
from gymctl.rollouts.spec import RunSpec

pytestmark = pytest.mark.processes

# Where the search engine would be nothing listens: tests do not leave this machine.
NOWHERE = "http://127.0.0.1:9/"
CASES = [pytest.param(stack, rows, id=f"{stack.parent.name}/{stack.name}") for stack, rows in patterns()]


@pytest.mark.enable_socket
@pytest.mark.parametrize(("stack", "rows"), CASES)
def test_a_pattern_earns_what_its_rows_say(stack: Path, rows: Path, tmp_path: Path) -> None:
    keys = ["++google_api_key=a-key-of-a-test", "++google_cx=an-engine-of-a-test"]
    first = load_config([str(stack), *keys], cwd=stack.parent, environ={})
    searching = [server for server in first.servers.values() if server.implementation == "google_search"]
    nowhere = [f"++{'.'.join(server.path)}.search_url={NOWHERE}" for server in searching]
    config = load_config([str(stack), *keys, *nowhere], cwd=stack.parent, environ={})
    output = tmp_path / "rollouts.jsonl"
    spec = RunSpec(input=rows, output=output, agents=tuple(config.agent_names))
    assert collect_in_process(config, spec, lambda _: None).exit_code == 0
    results = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert len(results) == len(rows.read_text().splitlines())
    assert [row["reward"] for row in results] == [row["scripted_reward"] for row in results]
    assert {row["agent_ref"]["name"] for row in results} == set(config.agent_names)  # every agent had its turn


def test_sizes_and_overlays_are_what_they_are_called() -> None:
    sizes = {"size-minimal": 1, "size-standard": 5, "size-comprehensive": 12}
    for stack, _ in patterns():
        keys = ["++google_api_key=a-key-of-a-test", "++google_cx=an-engine-of-a-test"]
        servers = load_config([str(stack), *keys], cwd=stack.parent, environ={}).servers.values()
        resources = [server for server in servers if server.kind == "resources_servers"]
        assert len(resources) == sizes.get(stack.parent.name, len(resources))
    assert [path.stem for path in overlays()] == ["dev", "prod", "staging"]
