"""``gymctl scale``: more or fewer replicas of servers, in a stack that runs."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(scale)


def scale(
    counts: list[str] = typer.Argument(..., metavar="SERVER=REPLICAS...", help="How many there shall be of each."),
    timeout: float = typer.Option(
        180.0,
        "--timeout",
        min=1,
        help="Seconds to wait until new ones are healthy, and for those that go to finish what they do.",
    ),
) -> None:
    """Have more or fewer replicas of servers; a collection may go on meanwhile.

    \b
    Example:
      gymctl scale my_agent=4 policy_model=2

    It holds until the next `gymctl up`, which goes by `replicas:` of the configuration.
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.output import UpDisplay
    from gymctl.engines.choice import engine_of

    wanted = _parse(counts)
    engine = engine_of(Path.cwd())
    with UpDisplay() as display:
        engine.scale(wanted, timeout=timeout, on_event=display.on_server)
    for name, count in wanted.items():
        typer.echo(f"{name}: {count} replica{'s' if count > 1 else ''}")


def _parse(texts: list[str]) -> dict[str, int]:
    from gymctl.errors import InputError

    wanted: dict[str, int] = {}
    for text in texts:
        name, equals, count = text.partition("=")
        if not (name and equals and count.isdecimal()):
            raise InputError(f"{text!r} is no SERVER=REPLICAS", "write it like my_agent=4")
        if name in wanted:
            raise InputError(f"{name} is named twice", "say once how many replicas it shall have")
        wanted[name] = int(count)
    return wanted
