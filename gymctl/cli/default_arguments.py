"""What ``gymctl up`` and ``gymctl plan`` take from the stack of the directory.

Without a configuration, its arguments, or ``stack.yaml``; without a release of NeMo Gym, the one that the stack keeps.
"""

from __future__ import annotations

import os
from typing import Any

from typer.core import TyperCommand


class WithDefaultArguments(TyperCommand):
    """A command that takes the arguments of the last ``gymctl up`` when it is given no configuration."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the arguments before those that were typed, whose options win; change to the directory they are for.

        Raises:
            InputError: the last ``gymctl up`` was given a secret on its command line, which is not kept.
        """
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        from gymctl.cli.options import print_notes
        from gymctl.operations.default_arguments import default_arguments

        options, _, _ = self.make_parser(ctx).parse_args(list(args))
        default = None
        if not options.get("help"):
            names = {name for parameter in self.params for name in parameter.opts}
            default = default_arguments(options.get("configuration") or (), names)
        if default is not None:
            print_notes([default.note])
            os.chdir(default.directory)
            args = [*default.arguments, *args]
        rest = super().parse_args(ctx, args)
        if not (ctx.params.get("gym_version") or ctx.params.get("gym_root")):
            ctx.params["gym_version"] = _kept_version()
        return rest


def _kept_version() -> str | None:
    """The release of NeMo Gym that the stack of this directory keeps, with a note; None: the default."""
    from gymctl.cli.options import print_notes
    from gymctl.config import upstream
    from gymctl.operations.default_arguments import kept_version

    kept = kept_version()
    if kept is not None:
        default = upstream.DEFAULT.version
        print_notes([f"this stack keeps NeMo Gym {kept}; --gym-version {default} changes it to the default"])
    return kept
