"""Return a running stack to an earlier version of itself, as an update in the other direction."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gymctl.engines.compose.command import compose_command
from gymctl.engines.compose.effective import effective_file
from gymctl.engines.compose.update import Project, update_stack
from gymctl.engines.compose.version import StackVersion
from gymctl.engines.docker.containers import PROJECT
from gymctl.engines.docker.daemon import connect, spoken_errors
from gymctl.engines.docker.jobs import join_jobs
from gymctl.engines.protocol import OnServer
from gymctl.engines.saved_stack import SavedStack, images_of, restore
from gymctl.errors import EngineError


@spoken_errors()
def roll_back(
    directory: Path,
    running: SavedStack,
    previous: SavedStack,
    *,
    timeout: float,
    drain_timeout: float,
    on_event: OnServer,
) -> None:
    """Replace the version that runs from ``directory`` by ``previous``, without losing calls.

    Raises:
        ServerFailed: a server of the previous version did not become healthy; the running one continues.
        EngineError: an image of the previous version is gone, or Compose failed.
    """
    client = connect("")
    file = directory / previous.state.compose_file
    titles = previous.state.titles
    missing = sorted(name for name in images_of(previous) if not client.images.list(name=name))
    if missing:
        raise EngineError(
            f"the image {missing[0]} of the previous version no longer exists",
            "run gymctl up with the earlier configuration; it builds the image again",
        )
    project = Project(
        client=client,
        name=previous.state.name,
        file=file,
        titles=titles,
        command=partial(_command, file),
        timeout=timeout,
        drain_timeout=drain_timeout,
        on_event=on_event,
    )
    effective = effective_file(project.name, file, previous.text)
    version = StackVersion.of_document(effective.document, titles, previous.secrets)
    update_stack(project, version, effective, running, write=lambda: restore(directory, previous))
    project.start_all()
    join_jobs(client, PROJECT, previous.state)


def _command(file: Path, name: str, *arguments: str) -> list[str]:
    """A ``docker compose`` command for the stack ``name`` of ``file``."""
    return compose_command(name, file, *arguments)
