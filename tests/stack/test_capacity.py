"""What a worker tells others about where its servers are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from omegaconf import OmegaConf
from plan_strategies import MODEL, config, server

from gymctl.config import Head, Membership, Role
from gymctl.stack.addresses import container_addresses
from gymctl.stack.worker_nodes import Machines


@pytest.mark.parametrize(
    ("advertised", "url"),
    [
        ("10.0.0.2", "http://10.0.0.2:8000"),
        ("gpu1.example", "http://gpu1.example:8000"),
        ("fd00::1", "http://[fd00::1]:8000"),
        ("[fd00::1]", "http://[fd00::1]:8000"),
    ],
)
def test_addresses_are_given_as_urls_have_them(advertised: str, url: str) -> None:
    worker = replace(
        config(server("policy", MODEL)),
        membership=Membership(Role.WORKER, "t", "gpu1", advertised),
        head=Head(host=advertised, port=11000),
    )
    machines = Machines(worker, container_addresses(worker))
    settings: Any = OmegaConf.create(machines.node("image", "/x", 11001).slice_text)
    settings = settings["gymctl_node"]
    assert [item["url"] for item in settings["servers"]] == [url]
    assert settings["head"] == url.replace(":8000", ":11000")
    address = "0.0.0.0" if "example" in advertised else advertised.strip("[]")
    assert machines.published(worker.servers["policy"]) == ((address, 8000, 8000),)
