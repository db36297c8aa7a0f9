"""Write the pages of docs/reference about commands, variables, files, exit codes and routes; --check only compares.

python scripts/reference_pages.py [--check]

The page of configuration keys has a script of its own, ``configuration_reference.py``.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from reference_cli import cli_page
from reference_files import FILES
from reference_variables import ENVIRONMENT_VARIABLES, Section

from gymctl.assets import folder
from gymctl.config.blocks.schema import bundled_servers
from gymctl.config.vocabulary import ServerKind
from gymctl.errors import EngineError, GymctlError, InputError, RunError
from gymctl.server import AgentServer, ModelServer, ResourcesServer, Server
from gymctl.server.endpoints import Endpoint
from gymctl.server.run.loader import load_server_class

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
_WIDTH = 120
_GENERATED = "This page is generated from the code (`python scripts/reference_pages.py`)."


def environment_page() -> str:
    """The page of environment variables."""
    introduction = (
        "Every environment variable that gymctl reads or sets. Any other variable can be used in a configuration with "
        f"`${{oc.env:NAME}}`; its value is treated as a [secret](../secrets.md). {_GENERATED}"
    )
    return _page("Environment variables", introduction, _sections(ENVIRONMENT_VARIABLES))


def files_page() -> str:
    """The page of files."""
    introduction = f"Every file that gymctl reads or writes by a fixed name. {_GENERATED}"
    return _page("Files", introduction, _sections(FILES))


def exit_codes_page() -> str:
    """The page of exit codes."""
    codes: dict[int, list[str]] = {}
    for error in (InputError, GymctlError, EngineError, RunError):
        codes.setdefault(error.exit_code, []).append(error.__name__)
    introduction = f"Every command ends with one of these codes; the second table has exceptions. {_GENERATED}"
    lines = [
        "| code | meaning | exception in the Python API |",
        "|---|---|---|",
        "| 0 | success | |",
        f"| 1 | a failure: of the engine, a server or a rollout | {_names(codes[1])} |",
        f"| 2 | invalid input: configuration, rows, options or arguments; nothing was changed | {_names(codes[2])} |",
        "| 130 | interrupted with Ctrl-C | `KeyboardInterrupt` |",
        "",
        "Five commands use the codes for their result:",
        "",
        "| command | code |",
        "|---|---|",
        "| `gymctl plan` | 0 if nothing would change, 3 if something would |",
        "| `gymctl status` | 0 if every server is healthy, otherwise 1 |",
        "| `gymctl collect` | 0 if every rollout has a result, otherwise 1; 130 if interrupted |",
        "| `gymctl audit` | 0, or with `--min-score` 1 if the score is lower |",
        "| `gymctl env test` | pytest's: 0 all tests passed, 1 some failed, 2 interrupted, 4 wrong usage, 5 no tests |",
        "",
        "Servers use the same codes: their process exits with 2 for an invalid configuration, and with 1 if they",
        "cannot start.",
    ]
    return _page("Exit codes", introduction, lines)


def endpoints_page() -> str:
    """The page of HTTP endpoints."""
    introduction = (
        "The routes of the servers. Bodies are JSON. Every server also has `GET /docs` with the schema of its "
        "requests and, with [`observe`](../observability.md#metrics), `GET /metrics`. Errors have a JSON body with "
        "`detail`; if another server caused the error, `cause` names it. " + _GENERATED
    )
    return _page("HTTP endpoints", introduction, _routes())


def _routes() -> Iterator[str]:
    common = {(route.method, route.path) for route in _endpoints(Server)}
    yield from _route_table("Every server", Server, set())
    yield from _route_table("Model servers", ModelServer, common)
    yield from _route_table("Agents", AgentServer, common)
    yield from _route_table("Resources servers", ResourcesServer, common)
    yield from _tools(common | {(route.method, route.path) for route in _endpoints(ResourcesServer)})
    yield from _route_table("Head", _bundled(folder("services") / "head"), common)
    yield from _route_table("Node server of a worker", _bundled(folder("services") / "node"), set())


def _tools(known: set[tuple[str, str]]) -> Iterator[str]:
    """A table of what each bundled environment has in addition: its tools."""
    yield "## Tools of the bundled environments\n"
    yield "| environment | route | purpose |"
    yield "|---|---|---|"
    for place, _ in bundled_servers(ServerKind.RESOURCES):
        for route in _endpoints(_bundled(place)):
            if (route.method, route.path) not in known:
                yield f"| `{place.name}` | `{route.method} {route.path}` | {_purpose(route)} |"
    yield ""


def _bundled(place: Path) -> type[Server]:
    return load_server_class(place, "app.py")


def _route_table(title: str, server: type[Server], known: set[tuple[str, str]]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| route | purpose |"
    yield "|---|---|"
    for route in _endpoints(server):
        if (route.method, route.path) not in known:
            yield f"| `{route.method} {route.path}` | {_purpose(route)} |"
    yield ""


def _endpoints(server: type[Server]) -> list[Endpoint]:
    """The endpoints of a class. They are marked on it; no server has to be configured for them."""
    return list(server.all_endpoints(object.__new__(server)))


def _purpose(route: Endpoint) -> str:
    """The first sentence of a route's docstring."""
    text = " ".join((inspect.getdoc(route.documented) or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".").replace("``", "`")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _sections(sections: tuple[Section, ...]) -> Iterator[str]:
    for title, introduction, items in sections:
        yield f"## {title}\n"
        if introduction:
            yield _fill(introduction) + "\n"
        for names, description in items:
            yield _fill(f"- {_names(names.split(', '))}: {description}", indent="  ")
        yield ""


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _page(title: str, introduction: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}\n", _fill(introduction) + "\n", *lines]).rstrip() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "environment-variables.md": environment_page,
    "files.md": files_page,
    "exit-codes.md": exit_codes_page,
    "http-endpoints.md": endpoints_page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; 1 when one differs."""
    texts = {FOLDER / name: page() for name, page in PAGES.items()}
    if arguments == ["--check"]:
        return int(any(not path.exists() or path.read_text(encoding="utf-8") != text for path, text in texts.items()))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
