"""The command line: one module a command; this one gathers them, and is the boundary where errors become exit codes."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer

from gymctl import __version__
from gymctl.cli.colours import label
from gymctl.cli.help import CONTEXT, HELP_OPTIONS, add_summaries
from gymctl.cli.upstream_commands import CommandsByEitherName
from gymctl.config.terminal_text import plain_output
from gymctl.errors import GymctlError

# what click raises for a wrong command line; newer typers carry a click of their own, so it is named by way of typer
_UsageError: Any = typer.BadParameter.__mro__[1]

if TYPE_CHECKING:
    app: typer.Typer

_COMPLETION = "_GYMCTL_COMPLETE"  # set by a shell that asks for completions

_GONE = (
    "the working directory no longer exists; change to an existing one, "
    "or stop its stack from anywhere: docker compose --project-name NAME down"
)

_COMMANDS = (
    "quickstart",
    "plan",
    "up",
    "rollback",
    "collect",
    "down",
    "config",
    "render",
    "secrets",
    "env",
    "status",
    "history",
    "logs",
    "results",
    "view",
    "report",
    "why_slow",
    "audit",
    "data",
    "export",
    "export_config",
    "scale",
    "policy",
    "nodes",
    "images",
    "plan_nodes",
)
"""Modules of commands, in the order in which help lists them. Each is named as its command is."""

_BRIEF = frozenset({"config", "render", "secrets"})
"""Commands that read a configuration, print, and end; they start no other program."""

_GARBAGE_THRESHOLDS = (50_000, 10, 10)
"""How many new objects a long command makes before it looks for garbage, as servers do; imports make most of them."""

_OTHER_NAMES = {"dataset": "data"}
"""Commands that are not named as the module that registers them."""


def _version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"gymctl {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    pass


def _empty_line() -> typer.Typer:
    """A command line without commands."""
    line = typer.Typer(
        name="gymctl",
        cls=CommandsByEitherName,
        context_settings=CONTEXT,
        help="Run NeMo Gym environments in containers: render layered YAML, start the stack, collect rollouts.",
        no_args_is_help=True,
        rich_markup_mode=None,  # rich costs more to import than the help text is worth
        pretty_exceptions_enable=False,
    )
    line.callback()(_options)
    return line


@cache
def _command_line(modules: Sequence[str]) -> typer.Typer:
    """The commands that ``modules`` register."""
    line = _empty_line()
    for module in modules:
        import_module(f"gymctl.cli.{module}").register(line)
    return line


def _line_for(arguments: Sequence[str]) -> typer.Typer:
    """The command line that ``arguments`` need: to list the commands, their summaries are enough."""
    line = _command_line(needed_modules(arguments))
    if _COMPLETION in os.environ or not HELP_OPTIONS.issuperset(arguments):
        return line
    listing = _empty_line()
    add_summaries(line, listing)
    return listing


def needed_modules(arguments: Sequence[str]) -> Sequence[str]:
    """The modules of commands that a command line needs: one if it names a command, else all of them.

    Importing the others would take longer than many commands do.
    """
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    module = _OTHER_NAMES.get(word, word.replace("-", "_"))
    if module in _COMMANDS and _COMPLETION not in os.environ:
        return (module,)
    return _COMMANDS


def __getattr__(name: str) -> Any:
    """``app``: the whole command line."""
    if name == "app":
        return _command_line(_COMMANDS)
    raise AttributeError(name)


def main() -> None:
    """Run the command line. Exit code 2 for wrong input, 1 for what failed, 130 after Ctrl-C."""
    _write_utf8()
    with plain_output():
        raise SystemExit(_run())


def _write_utf8() -> None:
    """Write any text in any locale: as UTF-8 into files and pipes, with escapes on a terminal that cannot show it."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper) or stream.encoding.lower() in ("utf-8", "utf8"):
            continue
        if stream.isatty():
            stream.reconfigure(errors="backslashreplace")
        else:
            stream.reconfigure(encoding="utf-8")


def _is_directory_gone() -> bool:
    """Whether the working directory was removed while a shell was in it."""
    try:
        os.getcwd()  # noqa: PTH109 - what Path.cwd() calls
    except FileNotFoundError:
        return True
    return False


def _run() -> int:
    try:
        if os.environ.get("GYMCTL_LOG_LEVEL"):  # logging is not imported for nothing
            from gymctl.cli.logging_setup import log_as_environment_says

            log_as_environment_says()
        line = _line_for(sys.argv[1:])
        _prepare_interpreter(needed_modules(sys.argv[1:]))
        code = line(standalone_mode=False, prog_name="gymctl")
    except GymctlError as error:
        _say(error.with_code())
        code = error.exit_code
    except _UsageError as error:
        code = _refuse(error)
    except OSError as error:
        # a full standard output, a file that disappeared; more specific messages are raised where gymctl writes
        if error.filename:
            where = f"{error.filename}: "
        else:
            where = "cannot write: "
        _say(_GONE if _is_directory_gone() else f"{where}{error.strerror or error}")
        _discard_output()
        code = 1
    except KeyboardInterrupt:
        code = 130
    return code or 0


def _prepare_interpreter(modules: Sequence[str]) -> None:
    """Look for garbage in long commands only; a brief one ends before it would matter, and needs no pydantic plugins.

    Both take a tenth of the time of ``gymctl render``.
    """
    if _BRIEF.issuperset(modules):
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        return
    gc.freeze()  # what was imported stays
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    gc.enable()


def _say(message: str) -> None:
    """Each problem is a line; lines that are indented belong to the one before."""
    for line in message.splitlines():
        sys.stderr.write(f"{line}\n" if line.startswith(" ") else f"{label('error:', 'red')} {line}\n")


def _refuse(error: Any) -> int:
    """Print what is wrong with a command line as for any other wrong input: one line and what would help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    text = error.format_message().rstrip(".").replace("Value error, ", "")  # how typer's validator begins
    if error.ctx:
        path = error.ctx.command_path
    else:
        path = "gymctl"
    _say(f"{text[:1].lower()}{text[1:]}; see {path} --help")
    return int(error.exit_code)


def _discard_output() -> None:
    """Discard pending output: standard output is closed, and the interpreter must not try to flush it."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)


if __name__ == "__main__":
    main()
