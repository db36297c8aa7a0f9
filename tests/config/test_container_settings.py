"""Keys of a server's container: what they may hold, where they may be, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from config_files import Folder

from gymctl.engines.local.ignored_settings import ignored_settings
from gymctl.errors import ConfigError

SERVER = """
    mine:
      resources_servers:
        example_multi_step:
          entrypoint: app.py
          domain: agent
"""


def write(folder: Folder, inside: str = "", beside: str = "") -> None:
    text = SERVER
    text += "".join(f"          {line}\n" for line in inside.splitlines())
    text += "".join(f"      {line}\n" for line in beside.splitlines())
    folder.write("stack.yaml", text)


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_the_keys_in_the_fields_or_beside_the_kind_key(folder: Folder, where: str) -> None:
    text = """start_period: 10m
volumes: [./rows:/rows:ro, cache:/data, {source: /srv, target: /srv}]
environment: {LEVEL: debug, WORKERS: 4, FAST: true}
networks: [shared]
logging: {driver: local, options: {max-size: 50m, max-file: 2}}"""
    write(folder, **{where: text})
    settings = folder.load("stack.yaml").servers["mine"].container
    assert settings is not None
    assert settings.start_period == 600
    assert [(item.source, item.target, item.read_only) for item in settings.volumes] == [
        (str(folder.path / "rows"), "/rows", True),
        ("cache", "/data", False),
        ("/srv", "/srv", False),
    ]
    assert settings.environment == {"LEVEL": "debug", "WORKERS": "4", "FAST": "true"}
    assert settings.networks == ("shared",)
    assert settings.logging is not None
    assert (settings.logging.driver, settings.logging.options) == ("local", {"max-size": "50m", "max-file": "2"})
    config = folder.load("stack.yaml")
    assert config.notes == ()
    assert any("start_period" in line and "mine" in line for line in ignored_settings(config))


def test_a_list_of_hosts_is_not_enforced_without_containers(folder: Folder) -> None:
    write(folder, beside="egress: [API.example.com]")
    config = folder.load("stack.yaml")
    settings = config.servers["mine"].container
    assert settings is not None
    assert settings.egress_hosts == ("api.example.com",)
    notes = [line for line in ignored_settings(config) if "not enforced" in line]
    assert notes == [
        "the hosts in egress (mine) are not enforced by the local engine: its servers can reach every address"
    ]
    write(folder, beside="egress: false")
    assert not any("not enforced" in line for line in ignored_settings(folder.load("stack.yaml")))


def test_none_of_them_is_none(folder: Folder) -> None:
    write(folder)
    assert folder.load("stack.yaml").servers["mine"].container is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("start_period", value) for value in ("soon", "0s", "-1s", "25h", "true", "[1]")),
        *(("volumes", value) for value in ("data:/data", "[/data]", "['a:b']", "['a:/b:x']", "['a/b:/c']")),
        *(("volumes", value) for value in ("['a:/tmp']", "['a:/opt/gymctl/']", "['a:/x', 'b:/x']", "[{source: a}]")),
        *(("environment", value) for value in ("[A=b]", "{1A: b}", "{A: [b]}", "{NEMO_GYM_CONFIG_DICT: x}", "text")),
        *(("networks", value) for value in ("shared", "[default]", "[stack-hosts-mine]", "['a b']", "[1]")),
        *(("egress", value) for value in ("api.test", "['https://api.test']", "['*']", "[localhost:80]", "[1]", "{}")),
        *(("logging", value) for value in ("local", "{driver: [a]}", "{other: a}", "{options: [a]}")),
    ],
)
def test_what_cannot_be_is_a_problem_at_its_line(folder: Folder, key: str, value: str) -> None:
    write(folder, inside=f"{key}: {value}")
    with pytest.raises(ConfigError, match=rf"stack.yaml:\d+: mine: .*{key}.*; ") as caught:
        folder.load("stack.yaml")
    assert len(caught.value.problems) == 1


def test_a_field_that_code_for_nemo_gym_has_is_the_servers(folder: Folder) -> None:
    folder.write(
        "resources_servers/own/app.py",
        """\
        from nemo_gym.base_resources_server import BaseResourcesServerConfig

        class Config(BaseResourcesServerConfig):
            environment: dict
        """,
    )
    own: dict[str, Any] = {"entrypoint": "app.py", "domain": "agent", "environment": {"images": []}}
    folder.write("stack.yaml", str({"mine": {"resources_servers": {"own": own}}}))
    server = folder.load("stack.yaml").servers["mine"]
    assert server.container is None
    assert server.fields["environment"] == {"images": []}


def test_a_field_that_the_servers_own_code_has_is_the_servers(folder: Folder) -> None:
    folder.write(
        "resources_servers/own/app.py",
        "from gymctl.server import ResourcesServer, ServerConfig\n\n\n"
        "class OwnConfig(ServerConfig):\n    environment: list[str]\n\n\n"
        "class Own(ResourcesServer):\n    config: OwnConfig\n",
    )
    own: dict[str, Any] = {"entrypoint": "app.py", "domain": "agent", "environment": ["a"]}
    folder.write("stack.yaml", str({"mine": {"resources_servers": {"own": own}}}))
    assert folder.load("stack.yaml").servers["mine"].container is None
