"""NeMo Gym's names for commands: put ``gymctl`` before a line such as ``ng_run "+config_paths=[...]"`` and it works.

They are names of ``gymctl``'s own commands, not programs of their own: those would hide an installed NeMo Gym's.
"""

from __future__ import annotations

from typing import Any

from gymctl.cli.help import GroupedCommands
from gymctl.config import upstream
from gymctl.errors import InputError


def without_prefix(name: str) -> str | None:
    """What follows NeMo Gym's prefix in the name of a command, or None for a name that is not NeMo Gym's."""
    return next((name.removeprefix(prefix) for prefix in upstream.COMMAND_PREFIXES if name.startswith(prefix)), None)


class CommandsByEitherName(GroupedCommands):
    """A group whose commands answer to NeMo Gym's names too; those are not listed."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None.

        Raises:
            InputError: NeMo Gym has a command of that name and gymctl has none like it.
        """
        short = without_prefix(cmd_name)
        if short is None:
            return super().get_command(ctx, cmd_name)
        if short not in upstream.COMMANDS:
            raise InputError(f"gymctl has no {cmd_name}", upstream.OTHER_COMMANDS.get(short, "see gymctl --help"))
        command: Any = super()
        for name in upstream.COMMANDS[short]:
            command = command.get_command(ctx, name)
        return command
