"""Any nested data of any text, sliced, rendered and read back by a server inside a container, is the same."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stack"))

from plan_strategies import RESOURCES, config, server
from text_strategies import NASTY, nested

from gymctl import __version__
from gymctl.stack import StackOptions, plan_stack, render_stack

pytestmark = pytest.mark.docker

READ = """
import json, os
from gymctl.server.settings import settings_from_environment
print(json.dumps(dict(settings_from_environment(os.environ).fields)["field"]))
"""


def read_in_a_container(value: Any, image: str) -> Any:
    whole = config(server("r", RESOURCES, {"field": value}))
    prefix = image.split("-server:", maxsplit=1)[0]
    plan = plan_stack(
        whole, name="gymctl-test-slices", options=StackOptions(__version__, nofile=1024, image_prefix=prefix)
    ).with_images({f"{prefix}-server:{__version__}": image})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "compose.yaml").write_text(render_stack(plan), encoding="utf-8")
        command = [
            "docker",
            "compose",
            "--progress",
            "quiet",
            "run",
            "--rm",
            "--no-deps",
            "-T",
            "r",
            "python",
            "-c",
            READ,
        ]
        try:
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=60)
        finally:
            subprocess.run(["docker", "compose", "down"], cwd=folder, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def as_json(value: Any) -> Any:
    """As JSON carries it: what tells a float from an integer stays, NaN is itself."""
    return json.dumps(value)


@given(st.lists(nested, min_size=20, max_size=60))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_any_data_comes_back_unchanged_from_inside_a_container(image: str, values: list[Any]) -> None:
    assert as_json(read_in_a_container(values, image)) == as_json(values)


def test_every_nasty_text_comes_back_unchanged_from_inside_a_container(image: str) -> None:
    value = {"texts": NASTY, "as_keys": {text: number for number, text in enumerate(NASTY) if "$" not in text}}
    assert read_in_a_container(value, image) == value
