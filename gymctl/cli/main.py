"""The command line: one module a command; this one gathers them, and is the boundary where errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from gymctl import __version__
from gymctl.cli.upstream_names import CommandsByEitherName
from gymctl.errors import GymctlError

# what click raises for a wrong command line; newer typers carry a click of their own, so it is named by way of typer
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="gymctl",
    cls=CommandsByEitherName,
    help="Run NeMo Gym environments in containers: layered YAML in, a running stack out, rollouts collected from it.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich costs more to import than the help text is worth
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gymctl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    pass


def _register() -> None:
    from gymctl.cli import (
        collect,
        config,
        data,
        data_check,
        data_rows,
        down,
        env,
        export,
        images,
        logs,
        nodes,
        plan_nodes,
        quickstart,
        render,
        scale,
        secrets,
        status,
        up,
        why_slow,
    )

    for module in (
        quickstart,
        config,
        secrets,
        render,
        up,
        status,
        scale,
        logs,
        collect,
        why_slow,
        data,
        data_check,
        data_rows,
        down,
        env,
        export,
        images,
        nodes,
        plan_nodes,
    ):
        module.register(app)


_register()


def main() -> None:
    """Run the command line. Exit code 2 for wrong input, 1 for what failed, 130 after Ctrl-C."""
    try:
        code = app(standalone_mode=False)
    except GymctlError as error:
        _say(str(error))
        code = error.exit_code
    except _UsageError as error:
        code = _refuse(error)
    except OSError as error:
        # a standard output that is full, a file that went away: where we write ourselves it is told with more words
        where = f"{error.filename}: " if error.filename else "cannot write: "
        _say(f"{where}{error.strerror or error}")
        _discard_output()
        code = 1
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code or 0)


def _say(message: str) -> None:
    """Each problem is a line; lines that are indented belong to the one before."""
    for line in message.splitlines():
        sys.stderr.write(line + "\n" if line.startswith(" ") else f"error: {line}\n")


def _refuse(error: Any) -> int:
    """A command line that does not fit the command, told as any other wrong input: one line and what would help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    text = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx else app.info.name
    _say(f"{text[:1].lower()}{text[1:]}; see {path} --help")
    return int(error.exit_code)


def _discard_output() -> None:
    """What is still to be written to standard output has nowhere to go: the interpreter shall not try again."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)


if __name__ == "__main__":
    main()
