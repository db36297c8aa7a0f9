"""Which servers are exposed, and to whom."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config import load_config
from gymctl.config.exposure import check_clients, client_networks, exposed_servers, split_names
from gymctl.config.model import Config
from gymctl.errors import InputError

STACK = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py}
weather:
  resources_servers:
    example_single_tool_call: {entrypoint: app.py, domain: agent}
far:
  resources_servers:
    example_multi_step: {entrypoint: app.py, domain: agent, at: "http://10.0.0.9:8080"}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: weather}
      model_server: {type: responses_api_models, name: policy_model}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("exposed")
    (folder / "stack.yaml").write_text(STACK)
    return load_config(["stack.yaml"], cwd=folder, environ={})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("agents", ["my_agent"]),
        ("servers", ["policy_model", "weather", "my_agent"]),
        ("weather", ["weather"]),
        ("my_agent, weather,my_agent", ["weather", "my_agent"]),
        ("agents,weather", ["weather", "my_agent"]),
        ("", []),
        (None, []),
    ],
)
def test_names_and_groups_select_servers_in_the_order_of_the_configuration(
    whole: Config, text: str | None, names: list[str]
) -> None:
    assert list(exposed_servers(whole, split_names(text))) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wether", "the configuration has no such server; did you mean 'weather'?"),
        ("agent", "did you mean 'agents'?"),
        ("far", "far runs elsewhere (`at`); expose it where it runs"),
    ],
)
def test_a_name_that_cannot_be_exposed_is_refused(whole: Config, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        exposed_servers(whole, split_names(text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.1.2.3/8", "the address has bits set after its prefix; write 10.0.0.0/8"),
        ("fd00::1/64", "write fd00::/64"),
        ("10.0.0.0/33", "it is not a network; write networks such as 10.0.0.0/8"),
        ("trainer", "it is not a network"),
        ("10.0.0", "it is not a network"),
        ("*", "it is not a network"),
    ],
)
def test_what_is_not_a_network_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        client_networks([text])
    assert f"--expose-to {text!r}" in str(caught.value)
    assert message in str(caught.value)


@given(st.ip_addresses())
def test_an_address_is_a_network_of_one(address: object) -> None:
    (network,) = client_networks([str(address)])
    assert list(network) == [ip_address(str(address))]


@pytest.mark.parametrize("hosts", [["0.0.0.0"], ["127.0.0.1", "10.0.0.5"], ["192.168.1.4"], ["::"]])
def test_an_address_that_others_reach_needs_a_list(hosts: list[str]) -> None:
    with pytest.raises(InputError, match=r"add --expose-to CIDR"):
        check_clients(hosts, ())
    check_clients(hosts, [ip_network("10.0.0.0/8")])


def test_a_loopback_address_takes_no_list() -> None:
    check_clients(["127.0.0.1", "::1"], ())
    with pytest.raises(InputError, match="no effect on a loopback address"):
        check_clients(["127.0.0.1"], [ip_network("10.0.0.0/8")])
