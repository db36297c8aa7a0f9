"""Where rows go that do not name their agent, in a stack whose head does not answer here, as on a Swarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from gymctl.config import load_config
from gymctl.config.rows.row_routes import RowRoutes, read_routes
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState
from gymctl.operations.collect import routes_of
from gymctl.operations.configuration import masked_configuration

STACK = """\
policy_model: {responses_api_models: {scripted_model: {entrypoint: app.py}}}
weather: {resources_servers: {example_single_tool_call: {entrypoint: app.py, domain: agent}}}
my_agent: {responses_api_agents: {simple_agent: {entrypoint: app.py,
  resources_server: {type: resources_servers, name: weather},
  model_server: {type: responses_api_models, name: policy_model}}}}
agent_map: {rain: my_agent}
fan_out: {rain: [my_agent]}
"""
NOBODY = "http://127.0.0.1:1"


@pytest.mark.enable_socket
def test_the_routes_are_those_of_the_saved_configuration(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(STACK)
    config = load_config(["stack.yaml"], cwd=tmp_path, environ={})
    servers = (ServerAddress("head", "head", "head", NOBODY),)
    state = StackState(engine="swarm", name="demo", head_url=NOBODY, servers=servers)
    routes = routes_of(state, saved=masked_configuration(config))
    assert routes == read_routes(config.resolved)
    assert routes.agent_map == {"rain": "my_agent"}
    assert routes_of(state) == RowRoutes()
