"""``gymctl plan``: what ``gymctl up`` would change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.cli.default_arguments import WithDefaultArguments
from gymctl.cli.help import RUN
from gymctl.cli.options import (
    AsJson,
    BaseImage,
    CaBundle,
    Configuration,
    Expose,
    ExposeTo,
    GymRoot,
    GymVersion,
    MergeOrderOption,
    Publish,
    SliceOption,
    StackName,
    image_options,
    load_configuration,
    plan_options,
)
from gymctl.config.choices import SliceMode

if TYPE_CHECKING:
    from gymctl.operations.changes import Reason, ServerChange, StackChanges

CHANGES_EXIT_CODE = 3
_MOST_REASONS = 8

Timeout = Annotated[
    float | None,
    typer.Option("--timeout", help="The --timeout that will be passed to `gymctl up`.", min=1, show_default="none"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=WithDefaultArguments, rich_help_panel=RUN)(plan)


def plan(
    configuration: Configuration = None,
    name: StackName = None,
    timeout: Timeout = None,
    slices: SliceOption = SliceMode.CLOSURE,
    merge_order: MergeOrderOption = None,
    base_image: BaseImage = None,
    ca_bundle: CaBundle = None,
    gym_root: GymRoot = None,
    gym_version: GymVersion = None,
    publish: Publish = None,
    expose: Expose = None,
    expose_to: ExposeTo = None,
    as_json: AsJson = False,
) -> None:
    """Show what `gymctl up` with the same arguments would change, and why. Writes nothing.

    Without a configuration, the arguments of this directory's stack are reused, or stack.yaml is used.
    The exit code is 0 when nothing would change, and 3 when something would.

    \b
    Example:
      gymctl plan examples/quickstart
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.operations.changes import changes

    config = load_configuration(configuration, merge_order, gym_root=gym_root, gym_version=gym_version)
    stack_changes = changes(
        config,
        plan_options(name, slices, gym_version, publish, expose=expose, expose_to=expose_to),
        images=image_options(base_image, ca_bundle),
        timeout=timeout,
    )
    if as_json:
        typer.echo(json.dumps(stack_changes.to_json(), indent=2))
    else:
        typer.echo("\n".join(_lines(stack_changes)))
    raise typer.Exit(0 if stack_changes.is_empty else CHANGES_EXIT_CODE)


def _lines(stack_changes: StackChanges) -> Iterator[str]:
    """The changes as lines of text, what stays as it is only in the last one."""
    for image in stack_changes.images:
        yield f"build      image {image}"
    for server in stack_changes.servers:
        if server.action != "unchanged":
            yield from _server_lines(server)
    for output in stack_changes.collections:
        yield f"note: a collection into {output} is using this stack; gymctl up requires --while-collecting"
    yield f"{stack_changes.name}: {stack_changes.summary}"


def _server_lines(server: ServerChange) -> Iterator[str]:
    yield f"{server.action:<10} {server.name}"
    if server.action == "replaced" and server.stop_first:
        yield f"             the old container stops first: {server.stop_first}"
    yield from (f"             {note}" for note in server.notes)
    for reason in server.reasons[:_MOST_REASONS]:
        yield f"             {_reason(reason)}"
    more = len(server.reasons) - _MOST_REASONS
    if more > 0:
        yield f"             and {more} more values (--json lists them)"


def _reason(reason: Reason) -> str:
    text = f"{reason.path}: {reason.old or '(none)'} -> {reason.new or '(none)'}"
    if reason.place:
        text += f" ({reason.place})"
    return text
