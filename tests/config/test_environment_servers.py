"""Environment servers of NeMo Gym 0.7, and what its parser derives into agents."""

from __future__ import annotations

import pytest
from config_files import Folder

from gymctl.config import ServerKind
from gymctl.config.derived_fields import with_derived_fields

AGENT = """
weather:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, domain: agent}
asker:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: weather}
      model_server: {type: responses_api_models, name: policy_model}
"""
TURN = """
weather_turn:
  environment_servers:
    single_agent_turn:
      entrypoint: app.py
      runtime: nemo-gym
      resources_server: {type: resources_servers, name: weather}
      agent_server: {name: asker}
      cleanup_timeout_seconds: 180
"""
RELAY = """
weather_relay:
  environment_servers:
    legacy_agent: {entrypoint: app.py, agent_server: {type: responses_api_agents, name: asker}}
"""


def test_one_with_a_process_is_a_server_that_refers_to_others(folder: Folder) -> None:
    server = folder.loaded(AGENT + TURN).servers["weather_turn"]
    assert (server.kind, server.implementation) == (ServerKind.ENVIRONMENT, "single_agent_turn")
    assert {(reference.kind, reference.name) for reference in server.references} == {
        (ServerKind.RESOURCES, "weather"),
        (ServerKind.AGENT, "asker"),
    }


def test_a_relay_is_no_server_and_stays_in_the_configuration(folder: Folder) -> None:
    config = folder.loaded(AGENT + RELAY)
    assert config.servers.keys() == {"policy_model", "weather", "asker"}
    assert "weather_relay" in config.values


@pytest.mark.parametrize("front", [TURN, RELAY, TURN + RELAY])
@pytest.mark.parametrize("moved", ["mine: {_inherit_from: asker}\n", "mine: '${inherit_from:asker}'\n"])
def test_it_follows_an_agent_that_is_moved_to_another_name(folder: Folder, moved: str, front: str) -> None:
    config = folder.loaded(AGENT + front + moved)
    assert "mine" in config.servers and "asker" not in config.servers
    entries = [value["environment_servers"] for value in config.resolved.values() if "environment_servers" in value]
    assert {fields["agent_server"]["name"] for entry in entries for fields in entry.values()} == {"mine"}


def test_it_stays_with_an_agent_that_is_copied(folder: Folder) -> None:
    config = folder.loaded(AGENT + RELAY + "mine: {_copy: asker}\n")
    relay = config.resolved["weather_relay"]["environment_servers"]["legacy_agent"]
    assert relay["agent_server"]["name"] == "asker"


@pytest.mark.parametrize(
    "moved",
    [
        "mine: {_inherit_from: asker}\nyours: {_inherit_from: asker}\n",  # which of them is unknown
        "nested: {mine: {_inherit_from: asker}}\n",  # no server
    ],
)
def test_an_agent_that_is_moved_elsewhere_is_not_there(folder: Folder, moved: str) -> None:
    (problem,) = folder.problems(AGENT + RELAY + moved)
    assert "agent_server refers to responses_api_agents/'asker', which is not defined" in problem


@pytest.mark.parametrize("text", [TURN, RELAY])
def test_the_agent_must_be_there(folder: Folder, text: str) -> None:
    (problem,) = folder.problems(AGENT + text.replace("name: asker", "name: aksen"))
    assert "agent_server refers to responses_api_agents/'aksen', which is not defined" in problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cleanup_timeout_seconds: 0", "cleanup_timeout_seconds is 0; it must be a number of seconds above 0"),
        ("max_concurrent_episodes: 4", "max_concurrent_episodes needs queue_timeout_seconds"),
        ("resources_tool_transports: [smoke]", "it must be a list of direct_http and mcp"),
    ],
)
def test_values_that_the_server_would_refuse(folder: Folder, line: str, problem: str) -> None:
    (message,) = folder.problems(AGENT + TURN.replace("cleanup_timeout_seconds: 180", line))
    assert problem in message


def test_new_top_level_keys_are_taken(folder: Folder) -> None:
    keys = "telemetry: {enabled: true}\nagent_map: {_default: asker}\nfan_out: {weather: [asker]}\nuvicorn_x: 1\n"
    config = folder.loaded(AGENT + keys + "environment_server_routes: {storms: weather_turn}\n")
    assert config.values["fan_out"] == {"weather": ["asker"]}
    (problem,) = folder.problems(AGENT + "agent_map: [asker]\n")
    assert "agent_map is ['asker']; it must be a mapping of names in rows to agents" in problem


@pytest.mark.parametrize(
    ("own", "expected"),
    [("", (True, 0.5)), ("      skip_verification: false\n", (False, 0.5))],
)
def test_agents_are_given_the_global_switch_unless_they_have_their_own(
    folder: Folder, own: str, expected: tuple[bool, float]
) -> None:
    config = folder.loaded(AGENT + own, "+skip_verification=true", "+skip_verification_reward=0.5")
    fields = config.servers["asker"].fields
    assert (fields["skip_verification"], fields["skip_verification_reward"]) == expected
    assert "skip_verification" not in config.servers["weather"].fields


def test_without_the_switch_nothing_is_derived() -> None:
    values = {"asker": {"responses_api_agents": {"simple_agent": {"entrypoint": "app.py"}}}}
    assert with_derived_fields(values) == values
