"""The update of a running stack: new containers start next to the old ones, which end when all new ones are healthy.

Until the first old container ends, everything can be undone: the old ones have served the whole time. Where two
versions of a service cannot run at once, the old containers stop first; the version is started once without its
published port before that, so that one that cannot start does not stop the old one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.engines.compose.changes import changes_of_stack
from gymctl.engines.compose.container_names import take_over_names
from gymctl.engines.compose.drain import drain
from gymctl.engines.compose.effective import EffectiveFile, draft_command
from gymctl.engines.compose.trial import TRIAL_SUFFIX, trial_document
from gymctl.engines.compose.update_plan import UpdatePlan, plan_update
from gymctl.engines.compose.version import StackVersion
from gymctl.engines.compose.watch import ServerFailed, Watch
from gymctl.engines.docker.containers import Container, find_containers
from gymctl.engines.protocol import OnServer
from gymctl.engines.runner import background, run
from gymctl.engines.saved_stack import SavedStack, restore
from gymctl.errors import EngineError

if TYPE_CHECKING:
    import docker

_AS_BEFORE = "the previous version of the stack is running"


@dataclass(frozen=True)
class Project:
    """A Compose project while it is updated."""

    client: docker.DockerClient
    name: str
    file: Path
    titles: Mapping[str, str]
    """Names of the servers by their services."""
    command: Callable[..., list[str]]
    """``command(name, *arguments)`` makes a ``docker compose`` command for the directory's file."""
    timeout: float
    """Seconds that new containers may take to become healthy."""
    drain_timeout: float
    """Seconds that an old container may take to finish its work."""
    on_event: OnServer

    def containers(self) -> list[Container]:
        """The project's containers, running or not."""
        return find_containers(self.client, self.name)

    def watch(self, services: Mapping[str, str], others: Iterable[Container]) -> Watch:
        """A watch of new containers of ``services`` (title by service); ``others`` were there before."""
        return Watch(
            self.client, self.name, services, self.on_event, ignored=frozenset(container.id for container in others)
        )

    def start_all(self) -> None:
        """Start what the directory's file has and does not run, remove what it does not have, and wait for health.

        Raises:
            ServerFailed: a server did not become healthy.
            EngineError: Compose failed.
        """
        there = {item.id: item for item in self.containers()}
        watch = Watch(self.client, self.name, self.titles, self.on_event, there)
        command = self.command(self.name, "up", "--detach", "--no-build", "--remove-orphans")
        with background(command, cwd=self.file.parent) as compose:
            watch.until_healthy(compose, self.timeout)


def update_stack(
    project: Project,
    version: StackVersion,
    effective: EffectiveFile,
    earlier: SavedStack,
    write: Callable[[], None],
) -> None:
    """Replace the containers of a running stack by those of another version.

    Args:
        project: the stack's.
        version: the new version.
        effective: it, as Compose understands it.
        earlier: the version that runs.
        write: writes the files of the new version.

    Raises:
        ServerFailed: a server did not become healthy. The stack is as before, and so are its files.
        EngineError: Compose failed, or the stack could not be made as before.
    """
    before = project.containers()
    changes = changes_of_stack(version, project.file, effective, before)
    needs = {service.name: service.needs for service in version.services}
    update = plan_update(changes, before, effective.digests, needs)
    try:
        _replace(project, update, effective.document, before, earlier, write)
    except (EngineError, KeyboardInterrupt) as error:
        raise _rolled_back(error) from error
    retire(project, update)


def _replace(
    project: Project,
    update: UpdatePlan,
    document: Mapping[str, Any],
    before: Sequence[Container],
    earlier: SavedStack,
    write: Callable[[], None],
) -> None:
    """Start all new containers; whatever keeps one from becoming healthy, the stack is as before then."""
    swapped: list[str] = []
    is_complete = False
    try:
        write()
        start_new(project, update, document)
        for name in update.stop_first:
            swapped.append(name)
            swap(project, name)
        is_complete = True
    finally:
        if not is_complete:
            restore(project.file.parent, earlier)
            undo(project, before, swapped)


def _rolled_back(error: EngineError | KeyboardInterrupt) -> EngineError | KeyboardInterrupt:
    """The error of an update that was undone."""
    if isinstance(error, ServerFailed):
        return ServerFailed(error.server, f"{error.reason}; {_AS_BEFORE}", error.lines, rolled_back=True)
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt(f"interrupted; {_AS_BEFORE}")
    return EngineError(f"{error.message}; {_AS_BEFORE}", "correct it, then run gymctl up again", error.error_code)


def start_new(project: Project, update: UpdatePlan, document: Mapping[str, Any]) -> None:
    """Start the new containers next to the old ones, and trials, and wait until all are healthy.

    ``document`` is the new file as Compose understands it.

    Raises:
        ServerFailed: one did not become healthy.
        EngineError: Compose failed.
    """
    for container in update.retired:
        if container.done:  # Compose would run it once more
            project.client.api.remove_container(container.id)
    before = project.containers()
    if update.start_first:
        counts = {**update.held, **update.start_first}
        scales = [part for name, count in counts.items() for part in ("--scale", f"{name}={count}")]
        arguments = ("up", "--detach", "--no-build", "--no-recreate", *scales, *update.start_first)
        watch = project.watch({name: project.titles[name] for name in update.start_first}, before)
        with background(project.command(project.name, *arguments), cwd=project.file.parent) as compose:
            watch.until_healthy(compose, project.timeout)
    if update.trials:
        trials = {f"{name}{TRIAL_SUFFIX}": project.titles[name] for name in update.trials}
        arguments = ("up", "--detach", "--no-build", "--no-deps", *trials)
        watch = project.watch(trials, before)
        text = json.dumps(trial_document(document, update.trials))
        with (
            draft_command(project.name, project.file, text, *arguments) as command,
            background(command, cwd=project.file.parent) as compose,
        ):
            watch.until_healthy(compose, project.timeout)


def swap(project: Project, name: str) -> None:
    """Stop the containers of a service, then start new ones and wait until they are healthy.

    Raises:
        ServerFailed: one did not become healthy.
        EngineError: Compose failed.
    """
    patience = ("--timeout", str(round(project.drain_timeout)))
    arguments = ("up", "--detach", "--no-build", "--no-deps", "--force-recreate", *patience, name)
    watch = project.watch({name: project.titles[name]}, project.containers())
    with background(project.command(project.name, *arguments), cwd=project.file.parent) as compose:
        watch.until_healthy(compose, project.timeout + project.drain_timeout)


def retire(project: Project, update: UpdatePlan) -> None:
    """End old containers and trials once they have finished their work; the new ones take over their names."""
    trials = {f"{name}{TRIAL_SUFFIX}": project.titles[name] for name in update.trials}
    old = [*update.retired, *(item for item in project.containers() if item.service in trials)]
    drain(project.client, old, project.drain_timeout, {**project.titles, **trials}, project.on_event)
    take_over_names(project.client, project.name, project.containers())


def undo(project: Project, before: Sequence[Container], swapped: Sequence[str]) -> None:
    """End what an update has started. The rendered file, the secrets and the state must be the earlier ones again.

    ``before`` are the containers that were there; ``swapped`` are services whose old containers have stopped.
    """
    from docker.errors import APIError

    earlier = {item.id for item in before}
    existed = {item.service for item in before}
    new = [item for item in project.containers() if item.id not in earlier]
    for container in new:
        if not container.is_well:
            try:
                project.client.api.remove_container(container.id, force=True)
            except APIError:
                continue
    again = [name for name in swapped if name in existed]
    if again:
        arguments = ("up", "--detach", "--no-build", "--no-deps", "--force-recreate", *again)
        run(project.command(project.name, *arguments), cwd=project.file.parent, timeout=300)
    left = [item for item in project.containers() if item.id in {other.id for other in new}]
    drain(project.client, left, project.drain_timeout, project.titles, project.on_event)
