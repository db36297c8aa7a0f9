"""Environments that gymctl bundles under another name than NeMo Gym, whose documentation prints its own.

Such a name means the bundled environment where no server of that name exists. In a checkout of NeMo Gym, or with
``runtime: nemo-gym``, it means NeMo Gym's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, NoteCode
from gymctl.config.nested import with_value
from gymctl.config.upstream import BUNDLED_CONFIGS, BUNDLED_NAMES


def bundled_name(text: str) -> str | None:
    """The bundled replacement of one of NeMo Gym's configurations; None for any other path."""
    return BUNDLED_CONFIGS.get(text)


def find_bundled(resolved: Mapping[str, Any], roots: Sequence[Path], findings: Findings) -> dict[KeyPath, str]:
    """Servers of NeMo Gym's name that are not here: the path of the fields of each, and the bundled implementation.

    Their origins are copied to the new path, and a note is added.
    """
    renamed: dict[KeyPath, str] = {}
    for name, entry in resolved.items():
        for (kind, theirs), ours in BUNDLED_NAMES.items():
            if isinstance(entry, dict):
                inner = entry.get(kind)
            else:
                inner = None
            if isinstance(inner, dict) and len(inner) == 1:
                fields = inner.get(theirs)
            else:
                fields = None
            if not isinstance(fields, dict) or not _is_missing(kind, theirs, fields, roots):
                continue
            if (fields.get("runtime") or resolved.get("runtime")) == "nemo-gym":
                continue
            renamed[name, kind, theirs] = ours
            findings.origins.graft((name, kind, theirs), (name, kind, ours))
            substitution = f"{name}: gymctl's {ours} replaces NeMo Gym's {theirs}, which is not available"
            findings.note(
                NoteCode.RENAMED, (name, kind, ours), substitution, "`runtime: nemo-gym` selects NeMo Gym's own"
            )
    return renamed


def with_bundled(values: Mapping[str, Any], renamed: Mapping[KeyPath, str]) -> dict[str, Any]:
    """A copy of a configuration with those servers under their bundled name."""
    result = dict(values)
    for (name, kind, theirs), ours in renamed.items():
        result = with_value(result, (name, kind), {ours: values[str(name)][kind][theirs]})
    return result


def _is_missing(kind: str, implementation: str, fields: Mapping[str, Any], roots: Sequence[Path]) -> bool:
    entrypoint = fields.get("entrypoint")
    if not isinstance(entrypoint, str):
        return False
    return not any((root / kind / implementation / entrypoint).is_file() for root in roots)
