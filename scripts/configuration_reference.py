"""Write docs/reference/configuration.md from the fields of the configuration; with --check, only compare.

python scripts/configuration_reference.py [--check]
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from gymctl.config.blocks.block import Block
from gymctl.config.blocks.container_settings import LogSettings, VolumeMount
from gymctl.config.blocks.edge import EdgeKeys
from gymctl.config.blocks.key_docs import KeyDoc, block_docs, setting_docs
from gymctl.config.blocks.log_shipping import LogsKeys
from gymctl.config.blocks.observation import ObserveKeys
from gymctl.config.blocks.placement import Placement, Placements, Reservation, ResourceLimits
from gymctl.config.blocks.ray import RayKeys
from gymctl.config.blocks.schema import bundled_servers
from gymctl.config.blocks.server_fields import (
    AgentServerFields,
    Dataset,
    DatasetSource,
    EnvironmentServerFields,
    ModelServerFields,
    OuterFields,
    ReferenceKeys,
    ResourcesServerFields,
    ServerFields,
)
from gymctl.config.blocks.stack_keys import GymctlKeys, HeadKeys, StackKeys
from gymctl.config.blocks.telemetry import TelemetryKeys
from gymctl.config.diagnostics import CODES
from gymctl.config.settings.server_code import common_settings
from gymctl.config.vllm.served_model import VllmKeys
from gymctl.config.vocabulary import ServerKind

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "configuration.md"
_WIDTH = 120
_INTRODUCTION = """\
# Configuration keys

Every key that gymctl reads, with its type and description. This page is generated from the code that validates a
configuration (`python scripts/configuration_reference.py`). [Configuration](../configuration.md) explains how files are
layered.

- `gymctl config check` reports values that are wrong, with file and line.
- `gymctl config explain KEY` prints the description of one key, its value and where it was set.
- `gymctl config schema` prints a JSON Schema with the same keys, for editors.

A value may be an interpolation (`${other.key}`, `${oc.env:NAME}`). `null` is the same as omitting the key, unless
the description of the key says otherwise. Keys that begin with `x-` are for your own use.
"""
_BLOCKS: tuple[tuple[str, str, type[Block], type[Block] | None], ...] = (
    ("`gymctl`", "", GymctlKeys, None),
    ("`head_server`", "", HeadKeys, None),
    (
        "`placement`",
        "These keys can be set at the top level of `placement`, in each group, and in a server's fields.",
        Placements,
        None,
    ),
    ("`edge`", "See [Edge](../edge.md).", EdgeKeys, None),
    ("`logs`", "See [log shipping](../observability.md#log-shipping).", LogsKeys, None),
    ("`observe`", "`true`, or a block. See [metrics](../observability.md#metrics).", ObserveKeys, None),
    ("`telemetry`", "See [traces](../observability.md#traces).", TelemetryKeys, None),
    ("`vllm`", "One block, or several by name. See [vLLM](../vllm.md).", VllmKeys, None),
    ("`ray`", "See [Ray](../ray.md).", RayKeys, None),
)
_SERVER_BLOCKS: tuple[tuple[str, str, type[Block], type[Block] | None], ...] = (
    ("Fields of model servers", "In addition to those of any server.", ModelServerFields, ServerFields),
    ("Fields of agents", "In addition to those of any server.", AgentServerFields, ServerFields),
    ("Fields of resources servers", "In addition to those of any server.", ResourcesServerFields, ServerFields),
    ("Fields of environment servers", "In addition to those of any server.", EnvironmentServerFields, ServerFields),
    ("`placement` of a server", "", Placement, None),
    ("`resources`", "", ResourceLimits, None),
    ("`resources.reserve`", "", Reservation, None),
    ("An item of `volumes`", "Or its short form, SOURCE:TARGET or SOURCE:TARGET:ro.", VolumeMount, None),
    ("`logging`", "", LogSettings, None),
    ("`datasets`", "Each item of the list.", Dataset, None),
    ("`source` of a data set", "", DatasetSource, None),
    ("References", "Fields such as `model_server` and `resources_server` name another server.", ReferenceKeys, None),
)


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Top level\n"
    yield from _list(block_docs(StackKeys))
    for title, text, model, skip in _BLOCKS:
        yield from _section(f"## {title}", model, text, skip)
    yield from _section("## Fields of any server", ServerFields, _outer_fields(), None)
    for title, text, model, skip in _SERVER_BLOCKS:
        yield from _section(f"### {title}", model, text, skip)
    yield "## Settings of the bundled servers\n"
    yield "In addition to the fields of any server, all of them have:\n"
    common = common_settings()
    yield from _list(setting_docs(common, ServerFields))
    for kind in ServerKind:
        for folder, code in bundled_servers(kind):
            own = tuple(setting for setting in code.settings if setting not in common)
            if own:
                yield f"### `{kind.value}/{folder.name}`\n"
                yield from _list(setting_docs(own, ServerFields))
    yield "## Notes that can be silenced\n"
    yield from (f"- `{code}`: {description}" for code, description in CODES.items())


def _outer_fields() -> str:
    names = ", ".join(f"`{name}`" for name in OuterFields.model_fields)
    return f"Below `NAME.KIND.IMPLEMENTATION`; {names} may also be written next to the kind."


def _section(title: str, model: type[BaseModel], text: str, skip: type[BaseModel] | None) -> Iterator[str]:
    yield f"{title}\n"
    sentences = [" ".join((model.__doc__ or "").replace("``", "`").split("\n\n")[0].split()), text]
    yield textwrap.fill(" ".join(filter(None, sentences)), _WIDTH) + "\n"
    yield from _list(block_docs(model, skip))


def _list(docs: Iterable[KeyDoc]) -> Iterator[str]:
    """One item for each key, at most 120 characters a line."""
    for doc in docs:
        if doc.default is not None:
            default = f" Default: `{doc.default}`."
        else:
            default = ""
        if doc.value:
            value = f" Must be {doc.value}."
        else:
            value = ""
        text = f"- `{doc.key}`: {doc.description}{value}{default}"
        yield textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    yield ""


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; 1 when it differs."""
    text = page()
    if arguments == ["--check"]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
