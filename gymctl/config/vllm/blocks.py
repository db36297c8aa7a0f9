"""Read the ``vllm:`` block, or a mapping of named ones: types, spelling, and what follows from what was left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymctl.config.blocks.block_reader import read_block
from gymctl.config.diagnostics import Findings, KeyPath, NoteCode
from gymctl.config.vllm.files import check_heads, with_files
from gymctl.config.vllm.gpus import GPU_KEYS, check_gpus, with_gpus
from gymctl.config.vllm.served_model import VLLM_KEY, VllmBlock, VllmKeys, is_single
from gymctl.config.vocabulary import is_server_entry

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?")


def read_blocks(resolved: Mapping[str, Any], cwd: Path, findings: Findings) -> dict[str, VllmBlock]:
    """The blocks by name ('' for a single one); problems are added to ``findings``.

    Paths in them are relative to ``cwd``.
    """
    written = resolved.get(VLLM_KEY)
    if written is None or is_server_entry(VLLM_KEY, written):
        return {}
    if not isinstance(written, dict) or not written:
        findings.problem((VLLM_KEY,), f"{VLLM_KEY} is not a block", "write vllm: {model: ORGANISATION/NAME}")
        return {}
    if is_single(written):
        named = {"": written}
    else:
        named = written
    blocks: dict[str, VllmBlock] = {}
    for name, fields in named.items():
        if block := _read(name, fields, findings):
            blocks[block.name] = with_files(block, cwd, findings)
    check_gpus(blocks.values(), findings)
    check_heads(blocks.values(), findings)
    return with_gpus(blocks)


def _read(name: Any, fields: Mapping[str, Any], findings: Findings) -> VllmBlock | None:
    path: KeyPath
    if name != "":
        path = (VLLM_KEY, name)
    else:
        path = (VLLM_KEY,)
    if name != "" and not (isinstance(name, str) and _NAME.fullmatch(name)):
        hint = "use lower-case letters, digits and -: it is part of a host name"
        findings.problem(path, f"{name!r} is not a valid name for a vllm block", hint)
        return None
    before = len(findings.problems)
    keys = read_block(VllmKeys, fields, path, findings)
    if keys is None or len(findings.problems) > before:
        return None
    values = {key: getattr(keys, key) for key in keys.model_fields_set}
    idle = [key for key in GPU_KEYS if key in values]
    if keys.profile == "cpu" and idle:
        message = f"{', '.join(idle)} is ignored with `profile: cpu`"
        findings.note(NoteCode.VLLM_UNUSED, (*path, "profile"), f"{'.'.join(map(str, path))}: {message}")
    used = {key: value for key, value in values.items() if keys.profile == "gpu" or key not in idle}
    return VllmBlock(**used, name=name, location=findings.origins.of(path))
