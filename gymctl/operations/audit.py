"""Audit of a rendered file, of a configuration, or of a running stack."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gymctl.config import Config
from gymctl.engines.build.package_lock import PackageLock, package_lock
from gymctl.engines.state import load_state
from gymctl.errors import InputError
from gymctl.operations.configuration import PlanOptions
from gymctl.stack.audit.compose_file import stack_of_text
from gymctl.stack.audit.evaluation import Audit, evaluate
from gymctl.stack.audit.subject import AuditedStack

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OF_CONTAINERS = ("compose", "swarm")


def audit_running(directory: Path | None = None) -> Audit:
    """Audit the running stack of a directory, by default of the working directory.

    Of a stack on a Swarm, the containers on this machine are looked at.

    Raises:
        InputError: no stack was brought up there, or it does not run in containers.
        EngineError: the engine does not answer.
    """
    from gymctl.engines.docker.daemon import connect
    from gymctl.engines.docker.inspection import inspect_stack

    state = load_state(directory or Path.cwd())
    if state.engine not in _OF_CONTAINERS:
        raise InputError(
            f"the stack {state.name} runs {state.where}, without containers",
            "audit its configuration: gymctl audit CONFIG...",
        )
    stack = inspect_stack(connect(""), state.name)
    if not stack.containers:
        raise InputError(f"the stack {state.name} has no running container on this machine", "start it: gymctl up")
    return _evaluated(stack)


def audit_file(path: Path) -> Audit:
    """Audit a Compose or stack file, such as one that ``render`` wrote.

    Raises:
        InputError: it cannot be read, or is not such a file.
    """
    return _evaluated(stack_of_text(_text(path), str(path), path.parent))


def audit_configuration(config: Config, options: PlanOptions | None = None, *, directory: Path | None = None) -> Audit:
    """Audit the stack that ``up`` would start on one machine; nothing is written or started.

    Args:
        config: the configuration.
        options: choices about the plan.
        directory: the stack's; by default the working directory.

    Raises:
        InputError: an option is wrong.
        ConfigError: the configuration cannot be a stack of containers.
    """
    from gymctl.operations.render import render

    directory = directory or Path.cwd()
    rendering = render(config, options, directory=directory)
    return _evaluated(stack_of_text(rendering.text, "compose.yaml", directory))


def compose_file_of(arguments: Sequence[str], directory: Path) -> Path | None:
    """The Compose or stack file that arguments name; None: they are a configuration.

    Raises:
        InputError: the file cannot be read.
    """
    if len(arguments) != 1:
        return None
    path = directory / arguments[0]
    if not path.is_file():
        return None
    try:
        document = yaml.load(_text(path), Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.YAMLError:  # the loader of configurations reports the place
        return None
    if isinstance(document, dict) and isinstance(document.get("services"), dict):
        return path
    return None


def _evaluated(stack: AuditedStack) -> Audit:
    """The audit of a stack whose images are built with this process's variables; neither file nor container has them.

    Raises:
        InputError: ``GYMCTL_PACKAGE_LOCK`` has an invalid value.
    """
    built = replace(
        stack,
        base_image=os.environ.get("GYMCTL_BASE_IMAGE", ""),
        requires_package_lock=package_lock(os.environ) is PackageLock.REQUIRED,
    )
    return evaluate(built)


def _text(path: Path) -> str:
    """The content of a file.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", "name a file that `gymctl render` wrote"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text", "name a file that `gymctl render` wrote") from error
