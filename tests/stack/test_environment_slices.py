"""An environment server of NeMo Gym in a rendered stack: what it is told, and what it is not."""

from __future__ import annotations

from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import ServerKind
from gymctl.stack.addresses import container_addresses
from gymctl.stack.slices.slices import slice_for

FIELDS = {
    "runtime": "nemo-gym",
    "replicas": 1,
    "agent_server": ref(AGENT, "asker"),
    "resources_server": ref(RESOURCES, "weather"),
    "cleanup_timeout_seconds": 180,
}


def test_it_is_told_of_all_that_it_reaches_and_nothing_that_it_refuses() -> None:
    asker = {"model_server": ref(MODEL, "policy"), "resources_server": ref(RESOURCES, "weather")}
    whole = config(
        server("policy", MODEL),
        server("weather", RESOURCES),
        server("asker", AGENT, asker),
        server("turn", ServerKind.ENVIRONMENT, FIELDS, implementation="single_agent_turn", has_code=False),
    )
    data = slice_for(whole, "turn", container_addresses(whole))
    assert {"turn", "asker", "weather", "policy"} <= data.keys()
    assert data["turn"]["environment_servers"]["single_agent_turn"] == {
        "entrypoint": "app.py",
        "host": "0.0.0.0",
        "port": 8082,
        **{key: FIELDS[key] for key in ("agent_server", "resources_server", "cleanup_timeout_seconds")},
    }
