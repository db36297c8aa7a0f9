"""What ``up`` would change in a directory's stack, found without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.config import Config
from gymctl.config.diagnostics import KeyPath
from gymctl.config.vocabulary import EGRESS_HOSTS_VARIABLE, EGRESS_PROXY_SUFFIX, LOGS_BLOCK
from gymctl.config.wording import listing
from gymctl.engines.collections import disturbed_collections
from gymctl.engines.server_code import code_digests, code_files
from gymctl.engines.state import StackState, find_state
from gymctl.errors import InputError
from gymctl.operations.change_summary import summary
from gymctl.operations.configuration import NOFILE, PlanOptions, config_digest, plan
from gymctl.operations.stack_start import ImageOptions

if TYPE_CHECKING:
    from gymctl.config.diagnostics import Location
    from gymctl.engines.compose.changes import Difference, ServiceChange
    from gymctl.stack import ImagePlan


@dataclass(frozen=True)
class Reason:
    """A value that changes. ``place`` is the file and line that sets it now; empty where that is not known."""

    path: str
    """Keys with dots between them: of the configuration, or of the service in the rendered file."""
    old: str
    new: str
    place: str = ""


@dataclass(frozen=True)
class ServerChange:
    """What ``up`` does to one server."""

    name: str
    action: str
    """``unchanged``, ``created``, ``replaced``, ``started``, ``scaled`` or ``removed``."""
    running: int
    """Containers that are there now."""
    replicas: int
    """Containers that will be there."""
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    """Reasons that are not values, such as a container that has stopped."""
    stop_first: str = ""
    """Why old containers stop before new ones start; empty: new ones start first."""


@dataclass(frozen=True)
class StackChanges:
    """What ``up`` does to a stack. ``images`` are built; ``collections`` are outputs of collections that run now."""

    name: str
    servers: tuple[ServerChange, ...]
    images: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not self.images and all(server.action == "unchanged" for server in self.servers)

    @property
    def summary(self) -> str:
        """Counts in one line, such as ``1 image built, 2 replaced, 4 unchanged``."""
        return summary(Counter(server.action for server in self.servers), len(self.images))

    def to_json(self) -> dict[str, Any]:
        """The changes as plain data."""
        return {
            "name": self.name,
            "changes": not self.is_empty,
            "summary": self.summary,
            "servers": [
                {**vars(server), "reasons": [vars(reason) for reason in server.reasons], "notes": list(server.notes)}
                for server in self.servers
            ],
            "images": list(self.images),
            "collections": list(self.collections),
        }


def changes(
    config: Config,
    options: PlanOptions | None = None,
    *,
    images: ImageOptions | None = None,
    timeout: float | None = None,
    directory: Path | None = None,
) -> StackChanges:
    """Find what ``up`` with the same arguments would do to a directory's stack of containers. Writes nothing.

    Args:
        config: the configuration.
        options: choices about the plan.
        images: how images are built.
        timeout: the ``timeout`` that ``up`` gets: seconds that health checks give every server to start.
        directory: by default the working directory.

    Raises:
        InputError: the configuration cannot be a stack, or the directory's stack is not one of Compose.
        EngineError: the engine is missing, a port is taken, or another stack has the name.
    """
    from gymctl.engines.build.names import image_names
    from gymctl.engines.compose.engine import ComposeEngine
    from gymctl.stack import render_stack

    directory = (directory or Path.cwd()).resolve()
    before = find_state(directory)
    _check_engine(config, before)
    images = images or ImageOptions()
    engine = ComposeEngine(directory)
    draft_options = _options(options or PlanOptions(), before, images, timeout)
    bounded_logs = engine.check(plan(config, draft_options, directory=directory))
    draft = plan(config, replace(draft_options, bounded_logs=bounded_logs), directory=directory)
    names = image_names(draft.images, base_image=images.base_image)
    stack = draft.with_images({tag: image.name for tag, image in names.items()})
    service_changes = engine.changes(stack, render_stack(stack))
    sources = {names[image.tag].name: image for image in draft.images}
    return StackChanges(
        name=stack.name,
        servers=tuple(_server_change(change, config, sources) for change in service_changes),
        images=tuple(image.name for image in names.values() if not image.is_built),
        collections=tuple(
            running.output
            for running in disturbed_collections(directory, before, config_digest(config), code_digests(config.servers))
        ),
    )


def _check_engine(config: Config, before: StackState | None) -> None:
    """Check that the directory's stack is one whose changes can be found.

    Raises:
        InputError: it is not.
    """
    if before is not None and before.engine != "compose":
        raise InputError(
            f"the stack {before.name} runs {before.where}; gymctl plan supports only --engine compose",
            "use gymctl render to see what would be started",
        )
    if config.membership is not None or (before is not None and before.role):
        raise InputError(
            "gymctl plan does not support stacks on several machines", "use gymctl render to see what would be started"
        )


def _options(
    options: PlanOptions,
    before: StackState | None,
    images: ImageOptions,
    timeout: float | None,
) -> PlanOptions:
    """The options that ``up`` plans with on this engine."""
    return replace(
        options,
        nofile=(before.nofile if before else 0) or NOFILE,
        ca_bundle=images.ca_bundle,
        timeout=timeout,
    )


def _server_change(change: ServiceChange, config: Config, images: Mapping[str, ImagePlan]) -> ServerChange:
    """A change of a service, with the places that set its values now."""
    return ServerChange(
        name=change.name,
        action=change.action.value,
        running=change.running,
        replicas=change.replicas,
        reasons=tuple(_reason(difference, change.name, config, images) for difference in change.differences),
        notes=change.notes,
        stop_first=change.stop_first,
    )


def _reason(difference: Difference, service: str, config: Config, images: Mapping[str, ImagePlan]) -> Reason:
    """A difference with its place: of the configuration's key, of the server's key that makes it, or changed files."""
    keys = difference.path
    if difference.in_configuration:
        keys = keys[1:]
        location = config.origins.of(keys)
    else:
        location = _location_of_container_key(keys, service, config)
    place = str(location or "")
    if keys == ("image",):
        place = _changed_files(difference.old, images.get(difference.new))
    return Reason(path=".".join(keys), old=difference.old, new=difference.new, place=place)


_KEYS = {"deploy": ("resources", "replicas", "placement"), "tmpfs": ("resources",), "healthcheck": ("start_period",)}
"""Keys of a server that set a key of its service, where they do not have the same name."""


def _location_of_container_key(keys: Sequence[str], service: str, config: Config) -> Location | None:
    """The place of the key that sets a key of a service: the server's, else the one of the whole stack."""
    paths: list[KeyPath] = []
    if EGRESS_HOSTS_VARIABLE in keys:
        keys = ("egress",)
    server = config.servers.get(service) or config.servers.get(service.removesuffix(EGRESS_PROXY_SUFFIX))
    if server is not None:
        for key in _KEYS.get(keys[0], (keys[0],)):
            paths += [(*server.path, key, *keys[1:]), (*server.path, key), (server.name, key)]
    if keys[0] == "logging":
        paths += [(LOGS_BLOCK, *keys[1:]), (LOGS_BLOCK,)]
    for path in paths:
        if path in config.origins.places:
            return config.origins.of(path)
    return None


def _changed_files(old_image: str, image: ImagePlan | None) -> str:
    """The files of a server's folder that are newer than its earlier image, at most three named."""
    if image is None or image.folder is None:
        return ""
    from gymctl.engines.build.cache import created_at

    created = created_at(old_image)
    newer = [path for path in sorted(code_files(image.folder)) if created and path.stat().st_mtime > created]
    return listing([str(path.relative_to(image.folder.parent)) for path in newer][:3])
