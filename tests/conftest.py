"""Unit tests reach this machine only; those marked ``docker`` need an engine, or say why they are skipped."""

import os
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no fault of what is tested.
settings.register_profile("gymctl", deadline=None)
settings.load_profile("gymctl")

# Ryuk would be pulled from a registry; inside a container testcontainers takes the bridge's address for the host's,
# where ports published on the loopback interface are not to be found.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")

LOOPBACK = ["127.0.0.1", "::1", "localhost"]


# What is no unit test. Servers' own tests know no marker of this project: they run in the servers' images as well.
NOT_UNIT = {"browser", "docker", "lab", "processes", "slow", "upstream"}
NOT_UNIT_FOLDERS = {
    Path(__file__).parent / "integration",
    Path(__file__).parent / "docs",
    Path(__file__).parents[1] / "services",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        markers = {marker.name for marker in item.iter_markers()}
        if "docker" not in markers:
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
        if not NOT_UNIT & markers and not NOT_UNIT_FOLDERS & set(item.path.parents):
            item.add_marker(pytest.mark.unit)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") is None:
        return
    problem = docker_problem()
    if problem and os.environ.get("GYMCTL_REQUIRE_DOCKER") == "1":
        pytest.fail(f"GYMCTL_REQUIRE_DOCKER=1, but: {problem}", pytrace=False)
    if problem:
        pytest.skip(f"needs Docker: {problem}")


@lru_cache
def docker_problem() -> str:
    """Why there is no usable Docker engine here; empty when there is one."""
    from gymctl.engines.docker.daemon import connect
    from gymctl.engines.docker.requirements import check_commands
    from gymctl.errors import EngineError

    try:
        check_commands()
        connect().close()
    except EngineError as error:
        return error.message
    return ""
