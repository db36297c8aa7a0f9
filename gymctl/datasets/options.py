"""Choices of data commands. This module imports next to nothing: the command line reads it for its help."""

from __future__ import annotations

from enum import StrEnum


class RowRelease(StrEnum):
    """The release of NeMo Gym whose files are written; those of 0.5 are the same as those of 0.4."""

    V0_4 = "0.4"
    V0_6 = "0.6"
    V0_7 = "0.7"


class DatasetType(StrEnum):
    """What a data set is for; the value names the output file."""

    TRAIN = "train"
    VALIDATION = "validation"
    EXAMPLE = "example"
    BENCHMARK = "benchmark"


class Mode(StrEnum):
    """Which data sets are prepared."""

    TRAIN_PREPARATION = "train_preparation"
    EXAMPLE_VALIDATION = "example_validation"

    @property
    def types(self) -> tuple[DatasetType, ...]:
        """The types in scope, in the order in which they are written."""
        if self is Mode.EXAMPLE_VALIDATION:
            return (DatasetType.EXAMPLE,)
        return (DatasetType.TRAIN, DatasetType.VALIDATION, DatasetType.BENCHMARK)


class InvalidRows(StrEnum):
    """What happens to rows that no agent would accept."""

    REFUSE = "refuse"
    DROP = "drop"
    KEEP = "keep"


class DataSource(StrEnum):
    """Where a data set with both identifiers is fetched from."""

    HUGGINGFACE = "huggingface"
    GITLAB = "gitlab"


class ExportTarget(StrEnum):
    """Who reads an export."""

    NEMO_RL = "nemo-rl"
    TRL = "trl"
    VERL = "verl"
    OPENAI = "openai"
    ATIF = "atif"
    PARQUET = "parquet"
    CSV = "csv"


class Kind(StrEnum):
    """What an export is for: supervised, preference pairs, single labels, prompts, or token ids with log-probs."""

    SFT = "sft"
    DPO = "dpo"
    KTO = "kto"
    GRPO = "grpo"
    TOKENS = "tokens"


class ReasoningStyle(StrEnum):
    """Where a model's reasoning goes: a field of the message, ``<think>`` in its text, or nowhere."""

    FIELD = "field"
    THINK = "think"
    DROP = "drop"


class ToolArguments(StrEnum):
    """How the arguments of tool calls are written: as an object, or as JSON text, which some chat templates want."""

    OBJECT = "object"
    TEXT = "text"


KINDS: dict[ExportTarget, tuple[Kind, ...]] = {
    ExportTarget.NEMO_RL: (Kind.SFT, Kind.DPO, Kind.GRPO, Kind.TOKENS),
    ExportTarget.TRL: (Kind.SFT, Kind.DPO, Kind.KTO, Kind.GRPO, Kind.TOKENS),
    ExportTarget.VERL: (Kind.SFT, Kind.GRPO, Kind.TOKENS),
    ExportTarget.OPENAI: (Kind.SFT, Kind.DPO),
    ExportTarget.ATIF: (),
    ExportTarget.PARQUET: (),
    ExportTarget.CSV: (),
}
"""The kinds of each target, its default first; a target without kinds gets whole rollouts."""
