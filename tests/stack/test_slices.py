from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from omegaconf import OmegaConf
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server, weather

from gymctl.config import Config, Head
from gymctl.stack import Address, dump_slice, head_slice, slice_for
from gymctl.stack.addresses import container_addresses
from gymctl.stack.slices.slices import Slices


def slice_of(whole: Config, name: str, mode: Any = "closure") -> dict[str, Any]:
    return slice_for(whole, name, container_addresses(whole), mode)


def entry(data: dict[str, Any], name: str) -> dict[str, Any]:
    inner = next(iter(data[name].values()))
    return dict(next(iter(inner.values())))


def test_a_server_binds_everything_and_dials_its_peers_by_name() -> None:
    data = slice_of(weather(), "weather_agent")
    own = entry(data, "weather_agent")
    assert (own["host"], own["port"], own["max_steps"]) == ("0.0.0.0", 8081, 5)
    assert own["model_server"] == ref(MODEL, "policy")
    assert entry(data, "policy") == {"entrypoint": "app.py", "host": "policy", "port": 8000}
    assert entry(data, "weather") == {"entrypoint": "app.py", "host": "weather", "port": 8080, "domain": "agent"}
    assert data["head_server"] == {"host": "head", "port": 11000}
    assert data["dry_run"] is False


def test_a_slice_holds_only_what_can_be_reached() -> None:
    whole = weather()
    assert "judge" not in slice_of(whole, "weather_agent")
    assert set(slice_of(whole, "weather")) & set(whole.servers) == {"weather"}


def test_references_are_followed_through_peers_and_in_circles() -> None:
    whole = config(
        server("a", AGENT, {"model_server": ref(MODEL, "b")}),
        server("b", MODEL, {"router": {"fallback": ref(MODEL, "c")}}),
        server("c", MODEL, {"back": ref(AGENT, "a")}),
        server("d", MODEL),
    )
    assert set(slice_of(whole, "a")) & set(whole.servers) == {"a", "b", "c"}


def test_the_full_mode_holds_every_entry_whole() -> None:
    data = slice_of(weather(), "weather", "full")
    assert entry(data, "weather_agent")["max_steps"] == 5
    assert entry(data, "judge")["openai_api_key"] == "${oc.env:GYM_JUDGE_KEY}"
    assert entry(data, "weather")["host"] == "0.0.0.0"
    assert entry(data, "judge")["host"] == "judge"


def test_one_server_can_ask_for_everything() -> None:
    whole = weather()
    servers = {**whole.servers, "router": server("router", AGENT, {"slice": "full"})}
    whole = replace(whole, servers=servers)
    assert set(servers) <= set(slice_of(whole, "router"))
    assert "judge" not in slice_of(whole, "weather_agent")


def test_no_secret_is_in_a_slice_and_each_server_has_only_its_own() -> None:
    whole = weather(values={"policy_api_key": "sk-policy-secret", "global_aiohttp_connector_limit": 7})
    slices = Slices(whole, container_addresses(whole))
    used = {}
    for name in whole.servers:
        view = slices.of(name)
        used[name] = view.secrets
        assert not [value for value in whole.secrets.values() if value in view.text]
        assert "policy_api_key" not in view.text
    assert used == {"policy": ("GYM_POLICY_KEY",), "judge": ("GYM_JUDGE_KEY",), "weather": (), "weather_agent": ()}
    assert slices.secrets == dict(whole.secrets)


@pytest.mark.parametrize("mode", ["closure", "full"])
def test_the_text_of_a_slice_is_that_of_its_data(mode: Any) -> None:
    whole = weather(values={"port_range_low": 5, "ray_head_node_address": "ray://ray:10001", "${x}": {}})
    slices = Slices(whole, container_addresses(whole), mode)
    for name in whole.servers:
        assert slices.of(name).text == dump_slice(slices.data(name))


def test_globals_that_servers_read_come_along_and_others_do_not() -> None:
    values = {
        "global_aiohttp_connector_limit": 7,
        "ray_head_node_address": "ray://ray:10001",
        "port_range_low": 5,
        "wandb_project": "x",
        "my_sandbox": {"image": "box", "api_key": "k"},
        "unnamed": {"a": 1},
    }
    whole = config(server("one", RESOURCES, {"provider": "my_sandbox"}), server("two"), values=values)
    one, two = slice_of(whole, "one"), slice_of(whole, "two")
    assert (one["global_aiohttp_connector_limit"], one["ray_head_node_address"]) == (7, "ray://ray:10001")
    assert (one["port_range_low"], one["port_range_high"]) == (5, 20000)
    assert one["my_sandbox"] == {"image": "box", "api_key": "k"}
    assert not {"my_sandbox", "wandb_project", "unnamed"} & set(two)


def test_a_block_that_a_server_names_brings_its_secrets_to_that_server_alone() -> None:
    values = {"box": {"api_key": "sk-box-secret", "url": "http://localhost:9/x"}, "spare": {"token": "sk-spare"}}
    one = server("one", RESOURCES, {"sandbox": {"provider": "box"}})
    whole = config(one, server("two"), values=values, secrets={"GYM_BOX_API_KEY": "sk-box-secret"})
    slices = Slices(whole, container_addresses(whole), gateway="host.docker.internal")
    assert slices.data("one")["box"] == {
        "api_key": "${oc.env:GYM_BOX_API_KEY}",
        "url": "http://host.docker.internal:9/x",
    }
    assert (slices.of("one").secrets, slices.of("two").secrets) == (("GYM_BOX_API_KEY",), ())
    assert slices.of("one").rerouted == ("box.url",)
    assert not {"box", "spare"} & set(slices.data("two"))


def test_servers_of_nemo_gym_get_no_field_that_only_gymctl_reads() -> None:
    fields = {"runtime": "nemo-gym", "slice": "closure", "needs_ray": True, "resources": {"cpus": 1}, "limit": 3}
    own = replace(server("own", RESOURCES, fields), own_fields=frozenset({"resources"}))
    whole = config(server("theirs", RESOURCES, fields), own, server("ours", RESOURCES, fields))
    slices = Slices(whole, container_addresses(whole), unmodified=("theirs", "own"))
    names = {name: set(entry(slices.data(name), name)) - {"entrypoint", "host", "port"} for name in whole.servers}
    assert names == {"theirs": {"limit"}, "own": {"limit", "resources"}, "ours": set(fields)}


def test_names_of_the_stack_itself_are_never_taken_for_secrets() -> None:
    whole = weather(secrets={"GYM_NAME": "weather", "GYM_FILE": "app.py", "GYM_POLICY": "policy"})
    own = entry(slice_of(whole, "weather_agent"), "weather_agent")
    assert own["resources_server"] == ref(RESOURCES, "weather")
    assert own["entrypoint"] == "app.py"
    head = head_slice(whole, container_addresses(whole))
    assert entry(head, "weather_agent")["model_server"] == ref(MODEL, "policy")
    assert entry(head, "weather")["host"] == "weather"


def test_the_head_gets_everything_but_the_secrets() -> None:
    whole = weather(values={"policy_api_key": "sk-policy-secret", "wandb_project": "x", "text": "${y} \\${z}"})
    data = head_slice(whole, container_addresses(whole))
    assert set(whole.servers) <= set(data)
    assert entry(data, "policy")["openai_api_key"] == "****"
    assert data["policy_api_key"] == "****"
    assert "sk-" not in dump_slice(data)
    assert data["head_server"] == {"host": "0.0.0.0", "port": 11000}
    read = OmegaConf.to_container(OmegaConf.create(dump_slice(data)), resolve=True)
    assert isinstance(read, dict)
    assert (read["wandb_project"], read["text"]) == ("x", "${y} \\${z}")


def test_what_only_looks_like_a_secret_stays() -> None:
    whole = config(server("m", MODEL, {"return_token_id_information": True, "max_output_tokens": 5}))
    fields = entry(head_slice(whole, container_addresses(whole)), "m")
    assert (fields["return_token_id_information"], fields["max_output_tokens"]) == (True, 5)


def test_the_local_engine_gets_loopback_addresses() -> None:
    whole = weather(head=Head(port=12000))
    addresses = {name: Address("127.0.0.1", 10001 + n, "127.0.0.1") for n, name in enumerate(whole.servers)}
    addresses["head_server"] = Address("127.0.0.1", 12000, "127.0.0.1")
    data = slice_for(whole, whole.servers["weather_agent"], addresses)
    assert entry(data, "weather_agent")["host"] == "127.0.0.1"
    assert entry(data, "policy") == {"entrypoint": "app.py", "host": "127.0.0.1", "port": 10001}
    assert data["head_server"] == {"host": "127.0.0.1", "port": 12000}


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "\\${x}", "???", "a: b\n"])
def test_literal_text_in_a_field_is_itself_again_in_the_server(text: str) -> None:
    whole = config(server("r", RESOURCES, {"prompt": text, "nested": [{"deep": text}]}))
    read = OmegaConf.create(dump_slice(slice_of(whole, "r")))
    fields = OmegaConf.to_container(read.r.resources_servers.example_multi_step, resolve=True)
    assert isinstance(fields, dict)
    assert (fields["prompt"], fields["nested"]) == (text, [{"deep": text}])
