"""Notes about a configuration that loads but may not mean what was meant. Ordinary configurations get none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gymctl.config.blocks.server_fields import FIELDS_OF, OuterFields
from gymctl.config.choices import MergeOrder
from gymctl.config.diagnostics import CODES, Findings, NoteCode, dotted
from gymctl.config.gym_release import merge_order_of
from gymctl.config.model import ServerInstance
from gymctl.config.settings.server_code import implementation_of
from gymctl.config.sources.yaml_documents import Document
from gymctl.config.vocabulary import ServerKind
from gymctl.config.wording import did_you_mean, nearest
from gymctl.errors import ConfigError, Problem

_KINDS = frozenset(kind.value for kind in ServerKind)


def silenced_codes(layers: Sequence[Document]) -> frozenset[str]:
    """The codes under ``silence`` or ``gymctl.silence`` of every layer.

    Raises:
        ConfigError: one of them is not a code.
    """
    silenced: set[str] = set()
    for layer in layers:
        own = layer.data.get("gymctl")
        for path, value in (
            (("silence",), layer.data.get("silence")),
            (("gymctl", "silence"), own.get("silence") if isinstance(own, dict) else None),
        ):
            codes = [value] if isinstance(value, str) else value or []
            for code in codes if isinstance(codes, list) else [codes]:
                if code not in list(NoteCode):
                    where = str(layer.marks.get(path) or layer.name)
                    hint = did_you_mean(code, NoteCode) or f"valid codes: {',  '.join(CODES)}"
                    raise ConfigError([Problem(where, f"unknown note code {code!r}", hint)])
                silenced.add(str(code))
    return frozenset(silenced)


def advise(
    servers: Mapping[str, ServerInstance],
    resolved: Mapping[str, Any],
    files: Sequence[Document],
    findings: Findings,
) -> None:
    """Add notes on keys that nothing reads and on servers that two files define."""
    for server in servers.values():
        _unread_fields(server, findings)
        _unread_siblings(server, resolved[server.name], findings)
    _same_names(servers, files, findings)


def note_merge_order(
    version: str, order: MergeOrder, includes: Mapping[str, Collection[str]], findings: Findings
) -> None:
    """Add a note where files are merged in another order than the default, because of a release; empty: none."""
    if not version or order is merge_order_of(None) or not any(includes.values()):
        return
    message = f"files are merged in the order of NeMo Gym {version}: {order}"
    hint = f"--merge-order {merge_order_of(None)} selects the other order"
    findings.note_at(NoteCode.MERGE_ORDER, "", message, hint)


def _unread_fields(server: ServerInstance, findings: Findings) -> None:
    if server.at is not None:
        return
    known = _common_keys(server)
    unknown = [str(key) for key in server.fields if key not in known and not str(key).startswith("x-")]
    implementation = implementation_of(server.folder, server.entrypoint) if unknown and server.folder else None
    if implementation is None or server.runtime == "nemo-gym":
        return
    for key in unknown:
        if not implementation.reads(key):
            hint = did_you_mean(key, implementation.fields | known) or "remove it, or add it to the server's settings"
            problem = f"{server.name}: {server.kind.value}/{server.implementation} reads no {key!r}"
            findings.note(NoteCode.UNREAD_KEY, (*server.path, key), problem, hint)


def _unread_siblings(server: ServerInstance, entry: Mapping[str, Any], findings: Findings) -> None:
    """Keys next to the kind key: NeMo Gym ignores them, so an override that lands there has no effect."""
    for key, value in entry.items():
        if key in _KINDS or key in OuterFields.model_fields or str(key).startswith(("_", "x-")):
            continue
        outer = nearest(key, OuterFields.model_fields, cutoff=0.8)
        close = None if isinstance(value, dict) else nearest(key, _known_fields(server), cutoff=0.8)
        hint = f"settings of a server belong under {dotted(server.path)}"
        if outer:
            hint = f"did you mean {dotted((server.name, outer))}?"
        elif close or isinstance(value, dict):
            hint = f"did you mean {dotted((*server.path, close) if close else server.path)}?"
        findings.note(NoteCode.UNREAD_KEY, (server.name, key), f"nothing reads {server.name}.{key}", hint)


def _known_fields(server: ServerInstance) -> list[str]:
    implementation = implementation_of(server.folder, server.entrypoint) if server.folder else None
    declared = implementation.fields if implementation else ()
    return sorted({*map(str, server.fields), *_common_keys(server), *declared})


def _common_keys(server: ServerInstance) -> frozenset[str]:
    """Fields that the stack reads, whatever the server's code does."""
    return frozenset(FIELDS_OF[server.kind].model_fields)


def _same_names(servers: Mapping[str, ServerInstance], files: Sequence[Document], findings: Findings) -> None:
    """A server whose entrypoint is set in two files is defined twice: the two merge silently."""
    for name, server in servers.items():
        path = (*server.path, "entrypoint")
        places = [document.marks[path] for document in files if path in document.marks and name in document.data]
        if len(places) > 1:
            others = " and ".join(str(place) for place in places[:-1])
            findings.note(
                NoteCode.SAME_NAME,
                path,
                f"{name} is defined here and at {others}; the two are merged into one server",
                "rename one, or remove its entrypoint if it is an overlay",
            )
