"""``extra_args`` of a ``vllm:`` block: further arguments of ``vllm serve``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_SHORT = {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "dp": "data_parallel_size"}
_OF_THE_STACK = frozenset({"host", "port", "model", "api-key", "uds"})
_NOT_ARGUMENTS = frozenset({"image", "environment", "prefetch"})  # keys of a block that `vllm serve` does not have


def argument_list(written: Any) -> Any:
    """Arguments as ``vllm serve`` takes them: of a mapping, ``true`` is a flag and ``false`` its ``--no-`` form.

    Raises:
        ValueError: it is neither a list of arguments nor a mapping.
    """
    if isinstance(written, Mapping):
        return tuple(_from_mapping(written))
    if not isinstance(written, list | tuple) or not all(map(is_word, written)):
        raise ValueError("not arguments")
    return tuple(str(item) for item in written)


def is_word(value: Any) -> bool:
    """Whether it is a text or a number, which YAML makes of an unquoted text."""
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _from_mapping(arguments: Mapping[Any, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        flag = f"--{str(name).lstrip('-').replace('_', '-')}"
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        elif isinstance(value, list):
            yield from (flag, *(str(item) for item in value))
        elif value is not None:
            yield from (flag, json.dumps(value) if isinstance(value, dict) else str(value))


def taken_argument(arguments: Collection[str], keys: Collection[str]) -> tuple[str, str] | None:
    """The first argument that the stack sets itself, or that is one of the block's ``keys``; and what to do instead."""
    taken = {key.replace("_", "-"): key for key in keys if key not in _NOT_ARGUMENTS} | _SHORT
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0].replace("_", "-")
        if argument.startswith("-") and name in _OF_THE_STACK:
            return name, "remove it; the stack sets it"
        if argument.startswith("-") and name in taken:
            return name, f"use the block's key {taken[name]}"
    return None
