"""Read the ``vllm:`` block, or a mapping of named ones: types, spelling, and what follows from what was left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, NoteCode, dotted
from gymctl.config.merge import is_server_entry
from gymctl.config.sizes import is_size_with_unit
from gymctl.config.validation import is_gpu_id, is_image
from gymctl.config.vllm.files import check_heads, with_files
from gymctl.config.vllm.gpus import GPU_KEYS, check_gpus, with_gpus
from gymctl.config.vllm.model import VLLM_KEY, VllmBlock
from gymctl.config.wording import did_you_mean

Check = tuple[str, Callable[[Any], bool]]  # what a value must be, and whether it is

# of `vllm serve --dtype` (vllm/config/model.py, ModelDType)
DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")

_MOST = 10**9
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*|/[^\0]*")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _is_number(value: Any, least: int = 1, most: int = _MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_part(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _is_word(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_word, value))


def _is_volume(value: Any) -> bool:
    return isinstance(value, str) and _VOLUME.fullmatch(value) is not None


_TEXT: Check = ("text", lambda value: isinstance(value, str) and bool(value.strip()))
_COUNT: Check = ("a number from 1 to 4096", lambda value: _is_number(value, most=4096))
_FLAG: Check = ("true or false", lambda value: isinstance(value, bool))
KEYS: Mapping[str, Check] = {
    "model": _TEXT,
    "served_model_name": _TEXT,
    "profile": ("gpu or cpu", lambda value: value in ("gpu", "cpu")),
    "instances": _COUNT,
    "tensor_parallel_size": _COUNT,
    "pipeline_parallel_size": _COUNT,
    "data_parallel_size": _COUNT,
    "gpus": _COUNT,
    "gpu_ids": (
        "a list of GPU numbers or UUIDs (GPU-..., MIG-...)",
        lambda value: isinstance(value, list) and bool(value) and all(map(is_gpu_id, value)),
    ),
    "gpu_memory_utilization": ("a part of each GPU's memory, above 0 and at most 1", _is_part),
    "max_model_len": (f"a number of tokens from 1 to {_MOST}", _is_number),
    "dtype": (f"one of {', '.join(DTYPES)}", lambda value: value in DTYPES),
    "tool_call_parser": _TEXT,
    "reasoning_parser": _TEXT,
    "chat_template": _TEXT,
    "revision": _TEXT,
    "trust_remote_code": _FLAG,
    "extra_args": (
        "a list of arguments, or a mapping of their names to values",
        lambda value: isinstance(value, dict) or value == [] or _is_list(value),
    ),
    "environment": (
        "a mapping of names to text",
        lambda value: isinstance(value, dict) and all(map(_is_word, value.values())),
    ),
    "image": ("an image's name, such as vllm/vllm-openai:v0.11.0", is_image),
    "cache_volume": ("the name of a volume, or a folder of this machine that begins with /", _is_volume),
    "shm_size": ("a size with its unit, such as 16gb", is_size_with_unit),
    "ipc": ("host or private", lambda value: value in ("host", "private")),
    "port": ("a number from 1 to 65535", lambda value: _is_number(value, most=65535)),
    "prefetch": _FLAG,
}
# Arguments of `vllm serve` that are the stack's own business, or that a key stands for.
_TAKEN = {key.replace("_", "-"): key for key in KEYS if key not in ("image", "environment", "prefetch")}
_TAKEN |= {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "dp": "data_parallel_size"}
_STACKS = frozenset({"host", "port", "model", "api-key", "uds"})


def read_blocks(resolved: Mapping[str, Any], cwd: Path, findings: Findings) -> dict[str, VllmBlock]:
    """The blocks by name ('' for a single one); everything wrong in them goes to ``findings``.

    Paths in them are relative to ``cwd``.
    """
    written = resolved.get(VLLM_KEY)
    if written is None or is_server_entry(VLLM_KEY, written):
        return {}
    if not isinstance(written, dict) or not written:
        findings.problem((VLLM_KEY,), f"{VLLM_KEY} is not a block", "write vllm: {model: ORGANISATION/NAME}")
        return {}
    named = "model" not in written and all(isinstance(value, dict) for value in written.values())
    blocks: dict[str, VllmBlock] = {}
    for name, fields in written.items() if named else (("", written),):
        path: KeyPath = (VLLM_KEY, name) if named else (VLLM_KEY,)
        if named and not (isinstance(name, str) and _NAME.fullmatch(name)):
            hint = "use lower-case letters, digits and -: it is part of a host name"
            findings.problem(path, f"{name!r} cannot be the name of a vllm block", hint)
        elif block := _read(str(name), fields, path, findings):
            blocks[str(name)] = with_files(block, cwd, findings)
    check_gpus(blocks.values(), findings)
    check_heads(blocks.values(), findings)
    return with_gpus(blocks)


def _read(name: str, fields: Mapping[str, Any], path: KeyPath, findings: Findings) -> VllmBlock | None:
    before = len(findings.problems)
    given = {key: value for key, value in fields.items() if value is not None and not str(key).startswith("x-")}
    for key, value in given.items():
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f"a block has {', '.join(KEYS)}; other arguments go into extra_args"
            findings.problem((*path, key), f"{dotted(path)} has no key {key!r}", hint)
        elif not KEYS[key][1](value):
            findings.problem((*path, key), f"{dotted((*path, key))} is {value!r}", f"it must be {KEYS[key][0]}")
    if "model" not in given:
        hint = "add the name on the Hugging Face hub, or the path of a folder that begins with / or ./"
        findings.problem(path, f"{dotted(path)} has no model", hint)
    if len(findings.problems) > before:
        return None
    if given.get("profile") == "cpu" and (idle := [key for key in GPU_KEYS if key in given]):
        what = f"{dotted(path)}: with profile: cpu there are no GPUs, and nothing comes of {', '.join(idle)}"
        findings.note(NoteCode.VLLM_UNUSED, (*path, "profile"), what)
        given = {key: value for key, value in given.items() if key not in GPU_KEYS}
    texts = {key: _words(given[key]) for key in ("gpu_ids",) if key in given}
    texts["extra_args"] = tuple(_arguments(given.get("extra_args", []), (*path, "extra_args"), findings))
    block = VllmBlock(
        **{
            **given,
            **texts,
            "name": name,
            "served_model_name": given.get("served_model_name") or _short_name(given["model"]),
            "environment": {str(key): str(value) for key, value in given.get("environment", {}).items()},
            "location": findings.origins.of(path),
        }
    )
    _check_rest(block, given, findings)
    used = block.gpus_used
    return replace(block, gpus=given.get("gpus", len(block.gpu_ids) // block.instances or used))


def _words(values: list[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _short_name(model: str) -> str:
    """The served name of a folder is its own; a model of the hub goes by its whole name, as with ``vllm serve``."""
    return model.rstrip("/").rpartition("/")[2] if model.startswith(("/", ".", "~")) else model


def _arguments(given: Any, path: KeyPath, findings: Findings) -> Iterator[str]:
    """Arguments as ``vllm serve`` takes them: of a mapping, ``true`` is a flag and ``false`` its ``--no-`` form."""
    for name in _names(given):
        if name in _STACKS or name in _TAKEN:
            key = _TAKEN.get(name)
            hint = f"it is the block's key {key}" if key else "the stack sets it: leave it out"
            findings.problem(path, f"{dotted(path)} holds --{name}", hint)
    if isinstance(given, list):
        yield from _words(given)
        return
    for name, value in given.items():
        flag = f"--{str(name).lstrip('-').replace('_', '-')}"
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        elif value is not None:
            yield flag
            yield from _words(value) if isinstance(value, list) else (_text(value),)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _names(given: Any) -> Iterator[str]:
    items = given if isinstance(given, dict) else (item for item in given if str(item).startswith("-"))
    yield from (str(item).lstrip("-").partition("=")[0].replace("_", "-") for item in items)


def _check_rest(block: VllmBlock, given: Mapping[str, Any], findings: Findings) -> None:
    """What is wrong with single values that their type does not say."""
    for name in block.environment:
        if not _VARIABLE.fullmatch(name):
            path = (*block.path, "environment", name)
            findings.problem(path, f"{name!r} is no name of an environment variable", "use letters, digits and _")
    if block.prefetch and block.is_local:
        path = (*block.path, "prefetch")
        findings.problem(path, f"{block.title}: {block.model} is a folder, there is nothing to fetch", "leave it out")
    if block.ipc == "host" and block.shm_size:
        what = f"{block.title}: with ipc: host the memory is this machine's, and shm_size says nothing"
        findings.problem((*block.path, "shm_size"), what, "keep one of them")
    if block.port and block.port + block.instances > 65536:
        findings.problem(
            (*block.path, "port"), f"{block.title}: no ports are left above {block.port}", "take a lower one"
        )
