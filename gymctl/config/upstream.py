"""NeMo Gym's names for environments that gymctl bundles under another: those that NeMo Gym's documents print.

They stand for the bundled ones where nothing of that name is found: in a checkout, or with ``runtime: nemo-gym``, the
name means what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gymctl.config.diagnostics import Findings, NoteCode
from gymctl.config.vocabulary import ServerKind

# (kind, NeMo Gym's implementation) -> ours
_OURS = {
    (ServerKind.RESOURCES.value, "math_with_judge"): "library_judge_math",
    (ServerKind.RESOURCES.value, "code_gen"): "comp_coding",
}
# The configurations that NeMo Gym has for them -> the bundled one that defines servers of the same names.
_MATH = "resources_servers/library_judge_math/configs/math_with_judge.yaml"
_CONFIGS = {
    "resources_servers/math_with_judge/configs/math_with_judge.yaml": _MATH,
    "resources_servers/math_with_judge/configs/dapo17k.yaml": _MATH,
    "resources_servers/math_with_judge/configs/bytedtsinghua_dapo17k.yaml": _MATH,
    "resources_servers/code_gen/configs/code_gen.yaml": "resources_servers/comp_coding/configs/code_gen.yaml",
}


def bundled_name(text: str) -> str | None:
    """What stands for a configuration of NeMo Gym among the bundled ones; None for any other path."""
    return _CONFIGS.get(text)


def take_ours(resolved: dict[str, Any], raw: dict[str, Any], roots: Sequence[Path], findings: Findings) -> None:
    """Give each server of NeMo Gym's name that is not here the name of ours, in place, with a note."""
    for name, entry in resolved.items():
        for (kind, theirs), ours in _OURS.items():
            inner = entry.get(kind) if isinstance(entry, dict) else None
            fields = inner.get(theirs) if isinstance(inner, dict) and len(inner) == 1 else None
            if not isinstance(fields, dict) or not _is_missing(kind, theirs, fields, roots):
                continue
            if (fields.get("runtime") or resolved.get("runtime")) == "nemo-gym":
                continue
            for values in (resolved, raw):
                values[name][kind] = {ours: values[name][kind][theirs]}
            findings.origins.graft((name, kind, theirs), (name, kind, ours))
            what = f"{name}: gymctl's {ours} takes the place of NeMo Gym's {theirs}, which is not here"
            findings.note(NoteCode.RENAMED, (name, kind, ours), what, "`runtime: nemo-gym` runs NeMo Gym's own")


def _is_missing(kind: str, implementation: str, fields: Mapping[str, Any], roots: Sequence[Path]) -> bool:
    entrypoint = fields.get("entrypoint")
    if not isinstance(entrypoint, str):
        return False
    return not any((root / kind / implementation / entrypoint).is_file() for root in roots)
