"""``gymctl up`` and ``gymctl plan`` without a configuration: they use the running stack's, or ``stack.yaml``."""

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
        return super().parse_args(ctx, args)
