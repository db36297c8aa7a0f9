"""The environment server of each agent, as NeMo Gym 0.7's clients look for it in the head's dict."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config.environment_relays import agents_of, relay_name, with_relays


def agent(port: int = 1, implementation: str = "simple_agent") -> dict[str, Any]:
    fields = {"entrypoint": "app.py", "host": "h", "port": port}
    return {"responses_api_agents": {implementation: fields}}


def front(implementation: str, **fields: Any) -> dict[str, Any]:
    return {"environment_servers": {implementation: {"entrypoint": "app.py", **fields}}}


def reference(name: str) -> dict[str, str]:
    return {"type": "responses_api_agents", "name": name}


def fronts(values: dict[str, Any]) -> dict[str, list[str]]:
    """Agent -> names of the environment servers that name it, as a client of 0.7 finds them."""
    requests: dict[str, list[str]] = {}
    for name, value in values.items():
        for fields in (value.get("environment_servers") or {}).values() if isinstance(value, dict) else ():
            for one in agents_of(fields):
                requests.setdefault(one, []).append(name)
    return requests


@pytest.mark.parametrize(
    ("name", "implementation", "relay"),
    [
        ("math_simple_agent", "simple_agent", "math_environment_server"),
        ("simple_agent", "simple_agent", "simple_agent_environment_server"),
        ("my_agent", "simple_agent", "my_environment_server"),
        ("solver", "simple_agent", "solver_environment_server"),
    ],
)
def test_a_relay_is_named_as_nemo_gym_names_it(name: str, implementation: str, relay: str) -> None:
    assert relay_name(name, implementation) == relay


def test_an_agent_without_one_gets_a_relay_at_its_own_address() -> None:
    values = {"math_simple_agent": agent(port=7), "policy": {"responses_api_models": {"m": {}}}, "dry_run": False}
    before = deepcopy(values)
    entry = with_relays(values)["math_environment_server"]["environment_servers"]["legacy_agent"]
    assert entry == {
        "entrypoint": "app.py",
        "agent_server": reference("math_simple_agent"),
        "host": "h",
        "port": 7,
    }
    assert values == before


def test_a_relay_of_the_configuration_has_the_address_of_its_agent() -> None:
    values = {"a": agent(port=3), "front": front("legacy_agent", agent_server={"name": "a"})}
    complete = with_relays(values)
    assert complete.keys() == values.keys()
    assert complete["front"]["environment_servers"]["legacy_agent"]["port"] == 3


def test_other_environment_servers_keep_their_address_and_front_all_their_agents() -> None:
    fields = {"host": "e", "port": 9, "agent_server": reference("a"), "user": reference("b")}
    values = {"a": agent(), "b": agent(), "user_sim": front("nemo_user_sim", **fields)}
    assert with_relays(values) == values
    assert agents_of(fields) == ["a", "b"]


NAMES = st.sampled_from(["a", "a_agent", "a_simple_agent", "a_environment_server", "simple_agent", "b_agent"])


@given(st.dictionaries(NAMES, st.sampled_from(["simple_agent", "other_agent"])), st.booleans())
def test_every_agent_has_exactly_one_and_no_entry_is_lost(agents: dict[str, str], has_front: bool) -> None:
    values = {name: agent(implementation=implementation) for name, implementation in agents.items()}
    if has_front and agents:
        values["front"] = front("legacy_agent", agent_server=reference(next(iter(agents))))
    complete = with_relays(values)
    assert {name: len(servers) for name, servers in fronts(complete).items()} == dict.fromkeys(agents, 1)
    assert {name: complete[name] for name in agents} == {name: values[name] for name in agents}
    assert with_relays(complete) == complete
