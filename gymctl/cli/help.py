"""Help at the terminal's width: commands in groups, no summary cut short."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

RUN = "Run"
CONFIGURE = "Configure"
INSPECT = "Inspect"
DATA = "Data"
SCALE = "Scale"

CONTEXT: dict[Any, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
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


def _summary(command: Any) -> str:
    """The first paragraph of a command's help, on one line."""
    paragraph = (command.short_help or command.help or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())
