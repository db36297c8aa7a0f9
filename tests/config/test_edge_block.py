"""The top-level ``edge:`` block: which values it takes."""

from __future__ import annotations

from typing import Any

import pytest
from config_files import SHORT_MODEL, Folder

from gymctl.config.blocks.edge import edge_selection
from gymctl.config.vocabulary import ServerKind
from gymctl.errors import ConfigError


def test_a_stack_has_no_edge_by_default(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL)
    assert folder.load("stack.yaml").edge is None
    folder.write_block("edge", None)
    assert folder.load("stack.yaml").edge is None


def test_an_empty_block_is_an_edge_for_this_machine(folder: Folder) -> None:
    folder.write_block("edge", {})
    keys = folder.load("stack.yaml").edge
    assert keys is not None
    assert (keys.address, keys.port, keys.rate_limit, keys.servers) == ("127.0.0.1", 8443, 1000, None)


def test_a_server_may_have_the_name_of_the_block(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL.replace("policy_model", "edge"))
    config = folder.load("stack.yaml")
    assert list(config.servers) == ["edge"]
    assert config.edge is None


def test_all_agents_are_behind_it_unless_servers_are_named(folder: Folder) -> None:
    folder.write_block("edge", {})
    keys = folder.load("stack.yaml").edge
    assert keys is not None
    assert edge_selection(keys, [ServerKind.MODEL]) == ()
    assert edge_selection(keys, [ServerKind.MODEL, ServerKind.AGENT]) == ("agents",)
    assert edge_selection(keys.model_copy(update={"servers": []}), [ServerKind.AGENT]) == ()


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"port": 0}, r"stack.yaml:\d+: edge.port is 0; it must be a number from 1 to 65535"),
        ({"address": "gym.example.com"}, "edge.address is 'gym.example.com'; it must be an IPv4 address"),
        ({"address": "::1"}, "edge.address is '::1'; it must be an IPv4 address"),
        ({"names": ["https://gym.example.com"]}, "edge.names .*it must be a list of host names or IPv4 addresses"),
        ({"names": "gym.example.com"}, "edge.names is 'gym.example.com'; it must be a list of host names"),
        ({"servers": "agents"}, "edge.servers is 'agents'; it must be a list of servers"),
        ({"rate_limit": 0}, "edge.rate_limit is 0; it must be a number of at least 1"),
        ({"certificate_file": "a.pem"}, "edge: certificate_file needs key_file; add key_file, or remove"),
        ({"key_file": "a.pem"}, "edge: key_file needs certificate_file"),
        ({"certificate_file": "a", "key_file": "b", "names": ["x"]}, "edge: names has no effect with certificate_file"),
        ({"prot": 8443}, "unknown key 'edge.prot'; did you mean 'port'"),
        ([], "edge.* it must be a mapping with the keys port, address"),
    ],
)
def test_wrong_values_are_named_with_their_place(folder: Folder, edge: Any, message: str) -> None:
    folder.write_block("edge", edge)
    with pytest.raises(ConfigError, match=message):
        folder.load("stack.yaml")
