"""Where the traces of a stack's rollouts go: kept with the stack, for its collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.config.vocabulary import TELEMETRY_BLOCK
from gymctl.engines.own_folder import FOLDER, TELEMETRY_FILE
from gymctl.engines.token_files import store_text, stored_text
from gymctl.errors import InputError

if TYPE_CHECKING:
    from gymctl.config import Config
    from gymctl.config.blocks.telemetry import TelemetryKeys
    from gymctl.rollouts.spec import RunSpec


def store_telemetry(config: Config, directory: Path) -> None:
    """Write the block ``telemetry`` for collections, for this user only, since its headers are secret.

    Raises:
        EngineError: the directory cannot be written.
    """
    if config.telemetry is not None:
        store_text(directory, TELEMETRY_FILE, config.telemetry.model_dump_json(exclude_unset=True))


def stored_telemetry(directory: Path, configuration: Mapping[str, Any] | None) -> TelemetryKeys | None:
    """The block of the directory's stack, which runs with ``configuration``; None when it has none.

    Raises:
        InputError: it cannot be read.
    """
    if not (configuration or {}).get(TELEMETRY_BLOCK):
        return None
    text = stored_text(directory, TELEMETRY_FILE)
    if not text:
        return None
    from gymctl.config.blocks.telemetry import TelemetryKeys

    try:
        return TelemetryKeys.model_validate_json(text)
    except ValueError as error:
        path = directory / FOLDER / TELEMETRY_FILE
        raise InputError(f"{path} cannot be read", "run `gymctl up` again") from error


def traced_run(spec: RunSpec, keys: TelemetryKeys | None) -> RunSpec:
    """A run with the traces that the block asks for; its own ratio has priority.

    Raises:
        InputError: it has one, and the block does not ask for traces.
    """
    if keys is not None and keys.is_on:
        ratio = keys.sample_ratio if spec.trace_ratio is None else spec.trace_ratio
        return replace(spec, trace_ratio=ratio, trace_slow_s=keys.slow_seconds)
    if spec.trace_ratio is not None:
        raise InputError("--trace-ratio has no effect: the stack sends no traces", "set telemetry.enabled, then `up`")
    return spec
