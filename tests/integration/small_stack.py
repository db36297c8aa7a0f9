"""A small real stack, planned and rendered as the command line does it, under a name of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gymctl import __version__
from gymctl.config import load_config
from gymctl.engines.compose.engine import ComposeEngine
from gymctl.engines.protocol import OnServer
from gymctl.engines.state import StackState
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack

IMAGE = f"gymctl-test-server:{__version__}"

SMALL = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
head_server: {{host: 127.0.0.1, port: {port}}}
"""

Services = dict[str, dict[str, Any]]
"""The services of a Compose document, by name."""
Change = Callable[[Services], None]


class SmallStack:
    """A stack in a directory, and its steps as ``gymctl up`` takes them."""

    def __init__(self, directory: Path, port: int, images: dict[str, str]) -> None:
        self.directory = directory
        self.port = port
        self.name = f"gymctl-test-{os.getpid()}-{port}"
        self.engine = ComposeEngine(directory)
        self.nofile = 65535
        self.images = images
        (directory / "stack.yaml").write_text(SMALL.format(port=port))

    def plan(self) -> StackPlan:
        """The plan, with its images as they were built."""
        return self.draft().with_images(self.images)

    def draft(self) -> StackPlan:
        """The plan before its images are built."""
        config = load_config(["stack.yaml"], cwd=self.directory, environ={})
        options = StackOptions(version=__version__, image_prefix="gymctl-test", nofile=self.nofile)
        return plan_stack(config, name=self.name, options=options)

    def prepare(self) -> None:
        """The checks and builds of ``gymctl up``."""
        prepared = self.engine.prepare(self.draft())
        self.nofile = prepared.nofile
        self.images = dict(prepared.images)

    def render(self, change: Change = lambda services: None, plan: StackPlan | None = None) -> str:
        """The rendered text, after ``change`` had its way with the services."""
        text = render_stack(plan or self.plan())
        document = yaml.safe_load(text)
        change(document["services"])
        for service in document["services"].values():
            service["stop_grace_period"] = "1s"
        return "# Rendered by gymctl\n" + yaml.safe_dump(document, sort_keys=False)

    def up(
        self,
        change: Change = lambda services: None,
        *,
        secrets: Mapping[str, str] | None = None,
        timeout: float = 90,
        on_event: OnServer = lambda event: None,
    ) -> StackState:
        """Start the stack, after ``change`` had its way with the services; every service gets all ``secrets``."""
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
