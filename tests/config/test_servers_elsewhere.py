"""``at: URL``: a server that runs elsewhere is called where it is, and nothing is started for it."""

from __future__ import annotations

import pytest
import yaml
from config_files import Folder

from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack

STACK = """\
policy_model:
  responses_api_models:
    local_vllm_model:
      entrypoint: app.py
      runtime: nemo-gym
      model: tiny
      vllm_serve_kwargs: {tensor_parallel_size: 1}
      vllm_serve_env_vars: {}
      return_token_id_information: false
      uses_reasoning_parser: false
weather:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, domain: agent}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: weather}
      model_server: {type: responses_api_models, name: policy_model}
"""


def planned(folder: Folder, *overrides: str) -> StackPlan:
    folder.write("stack.yaml", STACK)
    return plan_stack(folder.load("stack.yaml", *overrides), name="demo", options=StackOptions(version="1"))


def model_in(slice_text: str) -> dict[str, object]:
    (fields,) = yaml.safe_load(slice_text)["policy_model"]["responses_api_models"].values()
    return dict(fields)


@pytest.mark.parametrize(
    "override", ["++policy_model.at={url}", "++policy_model.responses_api_models.local_vllm_model.at={url}"]
)
def test_one_override_says_where_a_server_is(folder: Folder, override: str) -> None:
    plan = planned(folder, override.format(url="http://gpu-1:8000"))
    services = {service.name: service for service in plan.services}
    assert set(services) == {"head", "weather", "my_agent"}
    for name in ("my_agent", "head"):
        fields = model_in(services[name].slice_text)
        assert (fields["host"], fields["port"]) == ("gpu-1", 8000)
    assert services["my_agent"].extra_hosts == ()
    assert yaml.safe_load(render_stack(plan))["services"].keys() == services.keys()


def test_a_server_on_this_machine_is_reached_through_the_gateway(folder: Folder) -> None:
    plan = planned(folder, "++policy_model.at=http://127.0.0.1:9000")
    services = {service.name: service for service in plan.services}
    for name in ("my_agent", "head"):
        fields = model_in(services[name].slice_text)
        assert (fields["host"], fields["port"]) == ("host.docker.internal", 9000)
        assert services[name].extra_hosts == ("host.docker.internal:host-gateway",)
    assert services["weather"].extra_hosts == ()


def test_an_entry_without_an_entrypoint_may_be_elsewhere(folder: Folder) -> None:
    folder.write("stack.yaml", STACK.replace("      entrypoint: app.py\n      runtime: nemo-gym\n", ""))
    config = folder.load("stack.yaml", "++policy_model.at=http://gpu-1:8000")
    assert list(config.started) == ["weather", "my_agent"]
    assert config.servers["policy_model"].at == "http://gpu-1:8000"


@pytest.mark.parametrize("kind", ["responses_api_agents", "resources_servers", "environment_servers"])
def test_a_server_of_any_kind_may_be_elsewhere(folder: Folder, kind: str) -> None:
    folder.write("other.yaml", f"other:\n  {kind}:\n    unknown_here: {{at: 'http://[fd00::1]:81/'}}\n")
    plan = planned(folder, "other.yaml", "++policy_model.at=http://gpu-1:8000")
    head = yaml.safe_load(plan.services[0].slice_text)
    fields = head["other"][kind]["unknown_here"]
    assert (fields["host"], fields["port"], fields["entrypoint"]) == ("fd00::1", 81, "app.py")


@pytest.mark.parametrize(
    "url",
    ["gpu-1:8000", "https://gpu-1:8000", "http://gpu-1", "http://gpu-1:0", "http://a b:1", "http://g:8000/v1", "7"],
)
def test_what_is_not_the_address_of_a_server_is_refused(folder: Folder, url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"at .*it must be the address of a running server, such as http://gpu-1:8000"
    ):
        planned(folder, f"++policy_model.at='{url}'")


def test_a_vllm_block_takes_the_place_of_a_server_that_starts_vllm_itself(folder: Folder) -> None:
    folder.write("stack.yaml", STACK.replace("      runtime: nemo-gym\n", ""))
    config = folder.load("stack.yaml", "+vllm.model=tiny")
    model = config.servers["policy_model"]
    assert model.implementation == "vllm_model"
    assert model.fields["base_url"] == config.vllm[""].urls[0]
    assert "vllm_serve_kwargs" not in model.fields
    assert any("vllm_model replaces local_vllm_model" in note for note in config.notes)
    assert plan_stack(config, name="demo", options=StackOptions(version="1")).services[1].implementation == "vllm_model"


@pytest.mark.parametrize("url", ["http://judge.example/v1", ["http://judge.example/v1"]])
def test_vllm_model_takes_the_place_of_a_server_with_the_url_of_an_endpoint(
    folder: Folder, url: str | list[str]
) -> None:
    written = f"base_url: {url}\n      api_key: EMPTY\n      model: tiny"
    folder.write("stack.yaml", STACK.replace("runtime: nemo-gym\n      model: tiny", written))
    config = folder.load("stack.yaml")
    model = config.servers["policy_model"]
    assert model.implementation == "vllm_model"
    assert model.fields["base_url"] == url
    assert not {"vllm_serve_kwargs", "vllm_serve_env_vars"} & model.fields.keys()
    assert any("vllm_model replaces local_vllm_model; base_url is set" in note for note in config.notes)


@pytest.mark.parametrize("url", ["[]", "''", "null"])
def test_a_server_without_the_url_of_an_endpoint_starts_vllm_itself(folder: Folder, url: str) -> None:
    folder.write("stack.yaml", STACK.replace("model: tiny", f"model: tiny\n      base_url: {url}"))
    with pytest.raises(ConfigError, match="starts vLLM through Ray directly on a machine"):
        plan_stack(folder.load("stack.yaml"), name="demo", options=StackOptions(version="1"))


def test_an_address_takes_precedence_over_the_url_of_an_endpoint(folder: Folder) -> None:
    folder.write("stack.yaml", STACK.replace("model: tiny", "model: tiny\n      base_url: http://judge.example/v1"))
    model = folder.load("stack.yaml", "++policy_model.at=http://gpu-1:8000").servers["policy_model"]
    assert (model.implementation, model.at) == ("local_vllm_model", "http://gpu-1:8000")
