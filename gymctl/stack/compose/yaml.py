"""A Compose document as text: deterministic, commented, and what Compose reads from it is what was meant.

Compose replaces ``$NAME`` and ``${NAME}`` in every value; ``$$`` is a ``$``. Every ``$`` is doubled here and nowhere
else.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import yaml

from gymctl.config.nested import with_texts
from gymctl.config.vocabulary import EVERY_INTERFACE
from gymctl.stack.compose.model import ComposeDocument, Service
from gymctl.stack.labels import COMPLETES, IMPLEMENTATION, KIND, PORT, SERVER
from gymctl.stack.yaml_dumper import PlainDumper

MARKER = "# Rendered by gymctl"

# Text that is a string to every YAML reader without quotes, once PyYAML has ruled out on, yes, null and the like.
# Go's reader, which Compose uses, takes more for numbers (0o17, 0b1), so nothing that begins with a digit is plain.
_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9/_.@+-]*(?::[A-Za-z0-9/_.@+-]+)*(?: [A-Za-z0-9/_.@+-]+)*|[0-9]+(?:ms|s|m|h)")
# What libyaml writes unescaped: printable ASCII and most of the plane without surrogates and byte-order marks.
_LITERAL_LINE = r"[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*(?<! )"
_SERVICE = re.compile(r"  (?P<quote>[\"']?)(?P<name>[^\s\"':]+)(?P=quote):$")
_BOOLEANS = frozenset("ynYN")  # to YAML 1.1; PyYAML quotes the longer ones by itself
_ULIMITS = "    ulimits:"
_LINE = 80
_SCHEMES = {"ray/head": "ray", "ray/worker": None, "edge/proxy": None}
"""Schemes of the services' addresses on the stack's network, where not `http`; None: the stack calls no address."""


class _Dumper(PlainDumper):
    """Blocks for text of several lines where that is exact."""


def _string(_: Any, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=_style(text))


@lru_cache(maxsize=10_000)
def _style(text: str) -> str | None:
    """How a text is written, which repeats from service to service: as a block, without quotes, or with them."""
    if _is_literal(text):
        return "|"
    if _PLAIN.fullmatch(text) and text not in _BOOLEANS:
        return None
    return '"'


def _list(dumper: Any, items: list[Any]) -> yaml.SequenceNode:
    """Short lists of words on one line."""
    words = all(isinstance(item, str) for item in items)
    flow = words and sum(len(item) + 2 for item in items) <= _LINE
    node: yaml.SequenceNode = dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)
    return node


_Dumper.add_representer(str, _string)
_Dumper.add_representer(list, _list)


def _is_literal(text: str) -> bool:
    """Whether a literal block gives exactly ``text``: no line ends in a blank, the first has text and no indent.

    Empty lines at the end are not for a block: the blank line between two services would be one more of them.
    """
    if "\n" not in text or text[0] in " \n" or text.endswith("\n\n"):
        return False
    return all(_is_literal_line(line) for line in text.split("\n"))


def _is_literal_line(line: str) -> bool:
    if line.isascii():  # the pattern takes milliseconds to compile, and most text does without
        return line.isprintable() and not line.endswith(" ")
    return re.fullmatch(_LITERAL_LINE, line) is not None


def to_yaml(value: Any) -> str:
    """YAML of plain data, keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def double_dollars(value: Any) -> Any:
    """A copy with every ``$`` in every string doubled; keys hold none (rule GYM013)."""
    return with_texts(value, lambda text: text.replace("$", "$$"))


def single_dollars(value: Any) -> Any:
    """A copy with every ``$$``, which Compose reads as ``$``, replaced by it: the reverse of ``double_dollars``."""
    return with_texts(value, lambda text: text.replace("$$", "$"))


def render_compose(document: ComposeDocument, *, arguments: Sequence[str] = ()) -> str:
    """The text of ``compose.yaml``.

    Args:
        document: what to render; ``rules.check_document`` has validated it.
        arguments: what the user gave, for the header, without the values of overrides (may be secret).
    """
    header = (
        f"{MARKER}. Manual changes will be overwritten. Regenerate with: {again(arguments, '-o compose.yaml')}",
        "# `gymctl up` builds the images, writes the secret files that this file refers to, and starts the stack.",
        "# docker compose logs, ps, restart, kill, exec and stats can be used together with gymctl.",
        (
            "# NEMO_GYM_CONFIG_DICT is the part of the configuration that a server needs; `$` is escaped as "
            "`$$` for Compose."
        ),
    )
    return render_document(document, header)


def render_document(document: ComposeDocument, header: Sequence[str]) -> str:
    """The text of a document below the lines of ``header``, the first of which begins with ``MARKER``."""
    lines = to_yaml(double_dollars(document.plain())).split("\n")[:-1]
    body = "\n".join(_commented(lines, document))
    return "\n".join((*header, body)) + "\n"


def again(arguments: Sequence[str], options: str) -> str:
    """The command that renders a file again; of an override only its key is shown."""
    return " ".join(["gymctl render", *map(_display_argument, arguments), options])


def _display_argument(argument: str) -> str:
    key, equals, _ = argument.partition("=")
    hidden = equals and key.lstrip("+") != "config_paths"
    return shlex.quote(" ".join((f"{key}=..." if hidden else argument).split()))


def _commented(lines: Sequence[str], document: ComposeDocument) -> Iterator[str]:
    """The lines with a comment above each service and next to each ulimit. Only keys are indented by two or four."""
    section = previous = ""
    for line in lines:
        if line[:1] not in ("", " ", "-"):
            section = line
            yield ""
        elif section == "services:" and (match := _SERVICE.fullmatch(line)):
            if previous != "services:":
                yield ""
            yield f"  # {_described(match['name'], document)}"
        elif section == "services:" and line == _ULIMITS:
            line = f"{line}  # must not exceed the Docker daemon's own limit"  # noqa: PLW2901
        yield line
        previous = line


def _described(name: str, document: ComposeDocument) -> str:
    service = document.services[name]
    labels = service.labels or {}
    kind = labels.get(KIND)
    implementation = labels.get(IMPLEMENTATION)
    if kind is None:
        return f"{name}: {service.image}"
    if kind == "head":
        description = "head server: configuration and server status"
    else:
        description = f"{kind}/{implementation}"
    if SERVER in labels:
        description = f"{labels[SERVER]}: {description}"
    if COMPLETES in labels:
        return f"{description}: downloads the weights, then exits"
    scheme = _SCHEMES.get(f"{kind}/{implementation}", "http")
    if scheme is not None and PORT in labels:
        description += f", reachable at {scheme}://{name}:{labels[PORT]} on the stack's network"
    return description + _published(service)


def _published(service: Service) -> str:
    """Where a service's ports are published, as the end of a sentence; empty if nowhere."""
    addresses = [
        f"{port.host_ip or EVERY_INTERFACE}:{port.published}" for port in service.ports or () if port.published
    ]
    if not addresses:
        return ""
    if (service.labels or {}).get(KIND) == "ray":
        return f"; dashboard published on {', '.join(addresses)}"
    return f"; published on {', '.join(addresses)}"
