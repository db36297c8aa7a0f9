"""Options about exposed servers, checked against a configuration."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from gymctl.config import Config, Membership, Role, load_config
from gymctl.errors import InputError
from gymctl.operations.exposure import container_exposure, local_exposure

STACK = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py}
"""
ANYONE = ("10.0.0.0/8",)


def stack(folder: Path, *lines: str) -> Config:
    (folder / "stack.yaml").write_text("\n".join([STACK, *lines]))
    return load_config(["stack.yaml"], cwd=folder, environ={})


@pytest.mark.parametrize(
    ("lines", "publish", "host"),
    [
        ([], "0.0.0.0", ""),
        (["default_host: gym.example.com"], "0.0.0.0", "gym.example.com"),
        (["default_host: 192.168.1.4"], "192.168.1.4", "192.168.1.4"),
        (["default_host: 127.0.0.1"], "0.0.0.0", ""),
        (["use_absolute_ip: true"], "192.168.1.4", "192.168.1.4"),
        (["use_absolute_ip: true", "default_host: gym.example.com"], "0.0.0.0", "gym.example.com"),
    ],
)
def test_the_host_that_clients_are_given(tmp_path: Path, lines: list[str], publish: str, host: str) -> None:
    assert container_exposure(stack(tmp_path, *lines), ("servers",), ANYONE, publish).host == host


@pytest.mark.parametrize("line", ["default_host: gym.example.com", "use_absolute_ip: true"])
def test_on_a_loopback_address_clients_use_the_head_s(tmp_path: Path, line: str) -> None:
    assert container_exposure(stack(tmp_path, line), ("servers",), (), "127.0.0.1").host == ""


def test_an_absolute_address_is_the_one_of_the_machine_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stack(tmp_path, "use_absolute_ip: true")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "198.51.100.7")
    assert container_exposure(whole, ("servers",), ANYONE, "0.0.0.0").host == "198.51.100.7"

    def unknown(name: str) -> str:
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    with pytest.raises(InputError, match="cannot be resolved; set default_host"):
        container_exposure(whole, ("servers",), ANYONE, "0.0.0.0")


def test_a_stack_on_several_machines_is_refused(tmp_path: Path) -> None:
    whole = replace(stack(tmp_path), membership=Membership(Role.COORDINATOR, "token", "node"))
    for exposure in (container_exposure(whole, (), (), "0.0.0.0"), local_exposure(whole, (), ())):
        assert not exposure
    with pytest.raises(InputError, match="--expose is for a stack on one machine"):
        container_exposure(whole, ("servers",), ANYONE, "0.0.0.0")
    with pytest.raises(InputError, match="--expose is for a stack on one machine"):
        local_exposure(whole, ("servers",), ANYONE)
