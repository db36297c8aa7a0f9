"""Stacks to start: a small real one, planned and rendered as the command line does it, under a name of its own."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import free_ports
import pytest
import yaml

from gymctl import __version__
from gymctl.config import load_config
from gymctl.engines.build.images import build_images
from gymctl.engines.compose.engine import ComposeEngine
from gymctl.stack import ImagePlan, StackOptions, plan_stack, render_stack

IMAGE = f"gymctl-test-server:{__version__}"

SMALL = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
head_server: {{host: 127.0.0.1, port: {port}}}
"""


@pytest.fixture(scope="session")
def image():
    """The image of the bundled servers, under a name that no user's stack has."""
    return build_images([ImagePlan(IMAGE)])[IMAGE]


@pytest.fixture
def free_port():
    return free_ports.free_port()


class Stack:
    """A stack in a directory, and its steps as ``gymctl up`` takes them."""

    def __init__(self, directory: Path, port: int, images: dict[str, str]):
        self.directory, self.port = directory, port
        self.name = f"gymctl-test-{os.getpid()}-{port}"
        self.engine = ComposeEngine(directory)
        self.nofile = 65535
        self.images = images
        (directory / "stack.yaml").write_text(SMALL.format(port=port))

    def plan(self):
        """The plan, with its images as they were built."""
        return self.draft().with_images(self.images)

    def draft(self):
        """The plan before its images are built."""
        config = load_config(["stack.yaml"], cwd=self.directory, environ={})
        options = StackOptions(version=__version__, image_prefix="gymctl-test", nofile=self.nofile)
        return plan_stack(config, name=self.name, options=options)

    def prepare(self):
        """The checks and builds of ``gymctl up``."""
        prepared = self.engine.prepare(self.draft())
        self.nofile, self.images = prepared.nofile, dict(prepared.images)

    def render(self, change=lambda services: None, plan=None):
        """The rendered text, after ``change`` had its way with the services."""
        text = render_stack(plan or self.plan())
        document = yaml.safe_load(text)
        change(document["services"])
        for service in document["services"].values():
            service["stop_grace_period"] = "1s"
        return "# Rendered by gymctl\n" + yaml.safe_dump(document, sort_keys=False)

    def up(self, change=lambda services: None, *, secrets=None, timeout=90, on_event=lambda event: None):
        self.prepare()
        plan = self.plan()
        text = self.render(change, plan)
        if secrets:
            services = tuple(replace(service, secrets=tuple(secrets)) for service in plan.services)
            plan = replace(plan, secrets=secrets, services=services)
            document = yaml.safe_load(text)
            document["secrets"] = {name: {"file": f"./.gymctl/secrets/{name}"} for name in secrets}
            for service in document["services"].values():
                service["secrets"] = list(secrets)
            text = "# Rendered by gymctl\n" + yaml.safe_dump(document, sort_keys=False)
        return self.engine.up(plan, text, timeout=timeout, on_event=on_event)


@pytest.fixture
def stack(tmp_path, free_port, image):
    directory = tmp_path / "stack"
    directory.mkdir()
    made = Stack(directory, free_port, {IMAGE: image})
    yield made
    if (directory / ".gymctl" / "stack.json").exists():
        made.engine.down(volumes=True)
    shutil.rmtree(directory, ignore_errors=True)
