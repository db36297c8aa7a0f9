"""The command line: one module a command; this one gathers them, and is the boundary where errors become exit codes."""

from __future__ import annotations

import sys

import typer

from gymctl import __version__
from gymctl.errors import GymctlError

app = typer.Typer(
    name="gymctl",
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
    from gymctl.cli import collect, config, down, env, logs, quickstart, render, secrets, status, up, why_slow

    for module in (quickstart, config, secrets, render, up, status, logs, collect, why_slow, down, env):
        module.register(app)


_register()


def main() -> None:
    """Run the command line. Exit code 2 for wrong input, 1 for what failed, 130 after Ctrl-C."""
    try:
        app(standalone_mode=True)
    except GymctlError as error:
        for line in str(error).splitlines():
            # an indented line is the output of something that failed
            sys.stderr.write(f"{line}\n" if line.startswith(" ") else f"error: {line}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(141) from None


if __name__ == "__main__":
    main()
