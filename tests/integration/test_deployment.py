"""A stack on a machine as it is: a strict umask, a foreign ``.env``, an override file, images of another checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_stack import SmallStack

from gymctl.engines.protocol import Job, JobMount
from gymctl.engines.runner import run

pytestmark = pytest.mark.docker

SERVER = "example_single_tool_call"


@pytest.fixture
def strict_umask() -> Iterator[None]:
    earlier = os.umask(0o077)
    yield
    os.umask(earlier)


def inspected(stack: SmallStack, template: str) -> str:
    return run(["docker", "inspect", "--format", template, f"{stack.name}-{SERVER}-1"]).stdout.strip()


def test_what_is_found_in_a_directory_does_not_stop_a_stack(
    stack: SmallStack, strict_umask: None, tmp_path: Path
) -> None:
    (stack.directory / ".env").write_text("not = a file that: Compose reads'\n")
    stack.up()
    assert inspected(stack, '{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-size"}}') in (
        "json-file 20m",
        "local 20m",
    )
    assert inspected(stack, "{{.Config.Image}}") == next(iter(stack.images.values()))
    assert (stack.directory / "compose.yaml").stat().st_mode & 0o777 == 0o600

    script = "import pathlib; pathlib.Path('/job/made').write_text('x'); pathlib.Path('/job/folder').mkdir()"
    result = stack.engine.run_job(Job(["python", "-c", script], [JobMount(tmp_path, "/job", read_only=False)]), print)
    assert result.code == 0, result.output
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("made", "folder")}
    assert modes == {"made": 0o600, "folder": 0o700}

    (stack.directory / ".env").write_text("LEVEL=from the file\n")
    override = f'services: {{{SERVER}: {{environment: {{LEVEL: "${{LEVEL}}"}}}}}}\n'
    (stack.directory / "compose.override.yaml").write_text(override)
    stack.up()
    assert "LEVEL=from the file" in inspected(stack, "{{json .Config.Env}}")

    (stack.directory / ".env").write_text("not = a file that: Compose reads'\n")
    stack.engine.down()
    assert run(["docker", "ps", "--all", "--quiet", "--filter", f"name={stack.name}-"]).stdout == ""
