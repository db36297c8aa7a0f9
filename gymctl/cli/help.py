"""Help at the terminal's width: commands in groups, no summary cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import solve_typer_info_defaults

RUN = "Run"
CONFIGURE = "Configure"
INSPECT = "Inspect"
DATA = "Data"
SCALE = "Scale"

HELP_OPTIONS = frozenset(("-h", "--help"))

CONTEXT: dict[Any, Any] = {"help_option_names": sorted(HELP_OPTIONS), "max_content_width": 120}
"""Settings of the program's context; sub-commands inherit them."""

_OTHERS = "Commands"


class GroupedCommands(TyperGroup):
    """Lists its commands by the ``rich_help_panel`` that they were registered with."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section a panel, in the order of registration."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            panel = getattr(command, "rich_help_panel", None)
            if isinstance(panel, str):
                title = panel
            else:
                title = _OTHERS
            panels.setdefault(title, []).append((name, _summary(command)))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def command_group(
    name: str, summary: str, group: type[TyperGroup] = GroupedCommands, *, is_hidden: bool = False
) -> typer.Typer:
    """A command line of sub-commands, such as ``gymctl nodes``; without one of them it prints its help."""
    commands = typer.Typer(
        cls=group, name=name, help=summary, hidden=is_hidden, no_args_is_help=True, rich_markup_mode=None
    )
    commands.callback()(_nothing)  # keeps a group of one command a group
    return commands


def _nothing() -> None:
    pass


def _summary(command: Any) -> str:
    """The first paragraph of a command's help, on one line."""
    paragraph = (command.short_help or command.help or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())


def add_summaries(line: typer.Typer, listing: typer.Typer) -> None:
    """Add every command and group of ``line`` to ``listing`` with its name and summary, without its options.

    Typer takes longer to read the options of all commands than to print the list of commands.
    """
    for command in line.registered_commands:
        add = listing.command(
            command.name, help=command.help, rich_help_panel=command.rich_help_panel, hidden=command.hidden
        )
        add(_without_options(command.callback))
    for group in line.registered_groups:
        settings = solve_typer_info_defaults(group)
        add = listing.command(
            settings.name, help=settings.help, rich_help_panel=settings.rich_help_panel, hidden=settings.hidden
        )
        add(_without_options(settings.callback))


def _without_options(command: Callable[..., Any] | None) -> Callable[[], None]:
    """A function with the name and the documentation of a command."""

    def listed() -> None:
        """Do nothing: only the help of the command is needed."""

    if command is not None:
        listed.__name__ = command.__name__
        listed.__doc__ = command.__doc__
    return listed
