"""Fixtures of tests on a real engine: the image of the servers, a free port and a small stack."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import free_ports
import pytest
from small_stack import IMAGE, SmallStack

from gymctl.engines.build.images import build_images
from gymctl.stack import ImagePlan


@pytest.fixture(scope="session")
def image() -> str:
    """The image of the bundled servers, under a name that no user's stack has."""
    return build_images([ImagePlan(IMAGE)])[IMAGE]


@pytest.fixture
def free_port() -> int:
    return free_ports.free_port()


@pytest.fixture
def stack(tmp_path: Path, free_port: int, image: str) -> Iterator[SmallStack]:
    directory = tmp_path / "stack"
    directory.mkdir()
    made = SmallStack(directory, free_port, {IMAGE: image})
    yield made
    if (directory / ".gymctl" / "stack.json").exists():
        made.engine.down(volumes=True)
    shutil.rmtree(directory, ignore_errors=True)
