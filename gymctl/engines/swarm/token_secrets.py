"""New tokens for the services of a running stack: new secrets, since Swarm cannot change one, and a rolling update."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.blocks.hop_tokens import SECRET_PREFIX
from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.engines.docker.daemon import connect, spoken_errors
from gymctl.engines.own_folder import FOLDER, SECRETS_FOLDER
from gymctl.engines.protocol import OnServer
from gymctl.engines.runner import run
from gymctl.engines.state import StackState, save_state
from gymctl.engines.swarm.deploy import update_services
from gymctl.engines.swarm.nodes import check_manager
from gymctl.engines.swarm.remove import dead_nodes, sweep
from gymctl.engines.swarm.tasks import NAMESPACE, SwarmService, find_services, find_tasks
from gymctl.errors import EngineError
from gymctl.stack.swarm.secrets_and_configs import stored_name

if TYPE_CHECKING:
    import docker

STEP_TIMEOUT_S = 600.0
"""For one rolling update; replicas of a server are replaced one after another."""
_DRAIN_S = 180.0  # a server that stops has 120 s to finish its work
_POLL_S = 0.5
_ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")


@dataclass(frozen=True)
class SecretChange:
    """A secret of one service that gets another content."""

    service: str
    key: str
    """Its name in the stack file, and in the container."""
    old: str
    """Its name in the Swarm."""
    new: str
    options: str
    """Owner and mode of the file in the container, as ``--secret-add`` takes them."""

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``docker service update``."""
        return ["--secret-rm", self.old, "--secret-add", f"source={self.new},target={self.key}{self.options}"]


def changed_secrets(stack: str, services: Mapping[str, SwarmService], texts: Mapping[str, bytes]) -> list[SecretChange]:
    """The secrets of a stack's services whose content is not the one in ``texts``, which has it by the secret's key."""
    names = {key: stored_name(stack, key, text, slow=True) for key, text in texts.items()}
    changes = (change for service in services.values() for change in _secrets_of(service, names))
    return [change for change in changes if change.old != change.new]


def _secrets_of(service: SwarmService, names: Mapping[str, str]) -> Iterator[SecretChange]:
    for item in service.spec["TaskTemplate"]["ContainerSpec"].get("Secrets") or ():
        file = item["File"]
        key = file["Name"]
        if key in names:
            options = f",uid={file['UID']},gid={file['GID']},mode=0{file['Mode']:o}"
            yield SecretChange(service.name, key, item["SecretName"], names[key], options)


@spoken_errors()
def update_token_secrets(directory: Path, state: StackState, on_event: OnServer) -> None:
    """Have all services of a stack use the tokens in the files of its directory, and wait until they do.

    Tasks are replaced as in an update of the stack. It returns when the earlier tasks have ended, which send the
    earlier tokens until then.

    Raises:
        ServerFailed: a server did not become healthy with the new file; all are as before.
        EngineError: no manager answers, or an earlier task does not end.
    """
    client = connect("")
    check_manager(client)
    folder = directory / FOLDER / SECRETS_FOLDER
    texts = {path.name: path.read_bytes() for path in folder.glob(f"{SECRET_PREFIX}-*")}
    earlier = find_services(client, state.name)
    changes = changed_secrets(state.name, earlier, texts)
    if not changes:
        return
    _create(client, state.name, {change.new: texts[change.key] for change in changes})
    known = {task.id for task in find_tasks(client, state.name)}
    titles = {change.service: state.titles.get(change.service, change.service) for change in changes}

    def start() -> None:
        """Replace the secrets of each service."""
        for name in titles:
            arguments = [part for change in changes if change.service == name for part in change.arguments]
            argv = ["docker", "service", "update", "--detach", "--no-resolve-image", *arguments]
            run([*argv, f"{state.name}_{name}"], timeout=60)

    update_services(client, state.name, start, titles, earlier, timeout=STEP_TIMEOUT_S, on_event=on_event)
    _until_ended(client, state.name, known, titles)
    _rename(directory, state, changes)
    sweep(client, state.name, tuple(earlier))


def _create(client: docker.DockerClient, stack: str, contents: Mapping[str, bytes]) -> None:
    """Create the secrets of a stack that the Swarm does not have, by their names."""
    listed = client.api.secrets(filters={"label": f"{NAMESPACE}={stack}"})
    present = {item["Spec"]["Name"] for item in listed}
    for name, content in contents.items():
        if name not in present:
            client.api.create_secret(name, content, labels={NAMESPACE: stack})


def _until_ended(client: docker.DockerClient, stack: str, known: Collection[str], titles: Mapping[str, str]) -> None:
    """Wait until the tasks of ``known`` that were replaced have finished their work.

    Raises:
        EngineError: one does not end.
    """
    deadline = time.monotonic() + _DRAIN_S
    while left := _still_ending(client, stack, known, titles):
        if time.monotonic() > deadline:
            message = f"{titles[left[0]]}: an earlier task does not end"
            raise EngineError(message, f"see docker service ps {stack}_{left[0]}, then run the command again")
        time.sleep(_POLL_S)


def _still_ending(
    client: docker.DockerClient, stack: str, known: Collection[str], services: Collection[str]
) -> list[str]:
    dead = dead_nodes(client)
    return [
        task.service
        for task in find_tasks(client, stack)
        if task.id in known and task.service in services and task.state not in _ENDED and task.node_id not in dead
    ]


def _rename(directory: Path, state: StackState, changes: Collection[SecretChange]) -> None:
    """Give the secrets their new names in the stack file, and keep its digest unless it was changed by hand."""
    file = directory / state.compose_file
    if not file.is_file():
        return
    before = file.read_text(encoding="utf-8")
    after = before
    for change in changes:
        after = after.replace(change.old, change.new)
    write_atomically(file, after, mode=new_file_mode())
    if hashlib.sha256(before.encode()).hexdigest() == state.compose_digest:
        digest = hashlib.sha256(after.encode()).hexdigest()
        save_state(directory, replace(state, compose_digest=digest))
