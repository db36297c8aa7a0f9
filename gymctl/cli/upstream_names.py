"""NeMo Gym's names for commands: put ``gymctl`` before a line such as ``ng_run "+config_paths=[...]"`` and it works.

They are names of ``gymctl``'s own commands, not programs of their own: those would hide an installed NeMo Gym's.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from gymctl.errors import InputError

# NeMo Gym's name, without its prefix -> the way to ours.
OFFERED: dict[str, tuple[str, ...]] = {
    "run": ("up",),
    "status": ("status",),
    "collect_rollouts": ("collect",),
    "prepare_data": ("data", "prepare"),
    "dump_config": ("config", "show"),
}
_PREFIXES = ("ng_", "nemo_gym_")
_INSTEAD = {
    "help": "see gymctl --help",
    "init_resources_server": "use gymctl env init NAME",
    "version": "see gymctl --version",
    "e2e_collect_rollouts": "use gymctl up, then gymctl collect",
}


def without_prefix(name: str) -> str | None:
    """What follows NeMo Gym's prefix in the name of a command, or None for a name that is not NeMo Gym's."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), None)


class CommandsByEitherName(TyperGroup):
    """A group whose commands answer to NeMo Gym's names too; those are not listed."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None.

        Raises:
            InputError: NeMo Gym has a command of that name and gymctl has none like it.
        """
        short = without_prefix(cmd_name)
        if short is None:
            return super().get_command(ctx, cmd_name)
        if short not in OFFERED:
            raise InputError(f"gymctl has no {cmd_name} yet", _INSTEAD.get(short, "see gymctl --help"))
        found: Any = super()
        for name in OFFERED[short]:
            found = found.get_command(ctx, name)
        return found
