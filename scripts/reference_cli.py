"""The page of commands and options, from the signatures that Typer reads."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from gymctl.cli.main import app

_WIDTH = 120
_PLACEHOLDERS = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
_INTRODUCTION = """\
# Commands and options

Every command of `gymctl`. This page is generated from the code (`python scripts/reference_pages.py`); `gymctl COMMAND
--help` prints the same. NeMo Gym's names work too: [from NeMo Gym's commands to gymctl](../nemo-gym-commands.md).

`gymctl` itself has the options `--version`, `--install-completion`, `--show-completion` and `--help` (`-h`). Every
command has `--help`. [Exit codes](exit-codes.md) have their own page.
"""


def cli_page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for name, function in commands():
        parts += _command(name, function)
    return "\n".join(parts).rstrip() + "\n"


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each command's full name and function, in the order of ``--help``."""
    yield from _registered(app, "gymctl")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _registered(group.typer_instance, f"gymctl {group.name or group.typer_instance.info.name}")


def _registered(typer_app: Any, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in typer_app.registered_commands:
        function = command.callback
        if function is None or command.hidden:
            continue
        name = command.name or function.__name__.replace("_", "-")
        yield f"{prefix} {name}", function


def _command(name: str, function: Callable[..., Any]) -> Iterator[str]:
    parameters = list(_parameters(function))
    usage = [name]
    if any(isinstance(info, OptionInfo) for _, info, _, _ in parameters):
        usage.append("[OPTIONS]")
    usage += [_argument(*parameter) for parameter in parameters if isinstance(parameter[1], ArgumentInfo)]
    yield f"## {name}\n"
    yield f"```text\n{' '.join(usage)}\n```\n"
    yield from _description(inspect.getdoc(function) or "")
    for parameter in parameters:
        if not parameter[1].hidden:
            yield _item(*parameter)
    if parameters:
        yield ""


def _description(text: str) -> Iterator[str]:
    r"""Paragraphs, refilled; those after ``\b`` as they stand."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            heading, *lines = paragraph.splitlines()[1:]
            yield f"{heading}\n\n```text\n{textwrap.dedent(chr(10).join(lines))}\n```\n"
        else:
            yield textwrap.fill(" ".join(paragraph.split()), _WIDTH) + "\n"


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, ParameterInfo, Any, Any]]:
    """Name, what Typer knows of it, type and default of each parameter."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints[name]
        info: Any = parameter.default
        default: Any = getattr(info, "default", None)
        if get_origin(annotation) is Annotated:
            annotation, info = get_args(annotation)[:2]
            default = parameter.default
        if isinstance(info, ParameterInfo):
            yield name, info, annotation, default if default is not parameter.empty else ...


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """A type without ``None`` around it, and whether it may be given several times."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(item for item in get_args(annotation) if item is not NoneType)
    if get_origin(annotation) is list:
        return get_args(annotation)[0], True
    return annotation, False


def _placeholder(info: ParameterInfo, kind: Any) -> str:
    if info.metavar:
        return info.metavar
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(item.value) for item in kind)
    return _PLACEHOLDERS.get(kind, "TEXT")


def _argument(name: str, info: ParameterInfo, annotation: Any, default: Any) -> str:
    """As in a usage line."""
    _, is_repeated = _plain_type(annotation)
    text = info.metavar or name.upper().replace("_", "-")
    repeated = f"{text}..." if is_repeated and not text.endswith("...") else text
    return repeated if default is ... or text.startswith("[") else f"[{repeated}]"


def _item(name: str, info: ParameterInfo, annotation: Any, default: Any) -> str:
    """One item of the list of arguments and options."""
    kind, is_repeated = _plain_type(annotation)
    if isinstance(info, ArgumentInfo):
        head = info.metavar or name.upper().replace("_", "-")
    else:
        names = _option_names(name, info)
        value = "" if kind is bool else f" {_placeholder(info, kind)}"
        head = f"{', '.join(sorted(names, key=len, reverse=True))}{value}"
    notes = [info.help or ""]
    if is_repeated and isinstance(info, OptionInfo) and "repeat" not in (info.help or ""):
        notes.append("May be repeated.")
    if default_text := _default(info, kind, default):
        notes.append(f"Default: {default_text}.")
    if info.envvar:
        notes.append(f"Environment variable: `{info.envvar}`.")
    return textwrap.fill(
        f"- `{head}`: {' '.join(filter(None, notes))}",
        _WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _option_names(name: str, info: ParameterInfo) -> tuple[str, ...]:
    """``--long`` and ``-s``. In ``Annotated`` the first one is where a default would be."""
    names = tuple(info.param_decls or ())
    if isinstance(info.default, str) and info.default.startswith("--"):
        names = (info.default, *names)
    return names or (f"--{name.replace('_', '-')}",)


def _default(info: ParameterInfo, kind: Any, default: Any) -> str:
    """What the help shows as the default; empty when there is none."""
    if isinstance(info.show_default, str):
        return info.show_default
    if not info.show_default or default in (None, ..., "") or kind is bool:
        return ""
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default.value if isinstance(default, Enum) else default}`"
