"""Addresses that images are sent to, before anything is sent."""

import pytest

from gymctl.engines.swarm.images import check_hosts, check_registry
from gymctl.errors import InputError


@pytest.mark.parametrize("host", ["worker-1", "http://worker-1", "ssh://", "tcp:/worker-1:2376"])
def test_what_is_no_engine_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="ssh://USER@HOST"):
        check_hosts(["ssh://me@worker-1", host])


@pytest.mark.parametrize(
    "registry",
    [
        *(
            "",
            "https://registry.example",
            "/gym",
            "Registry.example/gym",
            "bad reg",
            "registry.example/bad reg",
            "-a/gym",
        ),
        *("registry.example:/gym", "registry.example:99999/gym", "registry.example//gym", "registry.example/gym:1"),
    ],
)
def test_what_is_no_registry_is_refused(registry: str) -> None:
    with pytest.raises(InputError, match="HOST/PREFIX"):
        check_registry(registry)


def test_what_is_one_is_not() -> None:
    check_hosts(["ssh://me@worker-1", "tcp://10.0.0.2:2376", "unix:///run/docker.sock"])
    for registry in ("registry.example:5000/gym", "localhost", "10.0.0.2:5000/a/b-c_d.e/", "[::1]:5000/gym"):
        check_registry(registry)
