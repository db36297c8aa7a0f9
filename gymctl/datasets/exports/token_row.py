"""Token ids and log-probs of a rollout as one sequence, exactly as the policy generated them.

The rule of NeMo RL: the prompt of each turn begins with every token seen so far. What is between the turns was added
by the environment. Nothing is tokenized again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gymctl.datasets.exports.rollout_index import DropReason
from gymctl.datasets.json_values import as_list, as_object

_IDS = frozenset((int,))
_NUMBERS = frozenset((int, float))


class TokenError(Exception):
    """A rollout whose tokens cannot be used: the reason, and what is wrong."""

    def __init__(self, reason: DropReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class TokenRow:
    """One sequence: the first prompt, then generated (mask 1) and environment (mask 0) tokens in turn."""

    prompt_ids: list[int]
    completion_ids: list[int]
    mask: list[int]
    """1 for a generated token, 0 for one of the environment; one for each completion id."""
    logprobs: list[float]
    """Of each completion id; 0.0 for tokens of the environment, which have none."""
    turns: int


def token_row(result: Mapping[str, Any]) -> TokenRow:
    """The tokens of a rollout.

    Raises:
        TokenError: it has none, they are malformed, or a turn does not continue the one before.
    """
    output = as_list(as_object(result.get("response")).get("output"))
    turns = [item for item in output if as_object(item).get("generation_token_ids")]
    if not turns:
        raise TokenError(DropReason.NO_TOKENS, "no output item has generation_token_ids")
    prompt: list[int] = []
    seen: list[int] = []
    mask: list[int] = []
    logprobs: list[float] = []
    for number, item in enumerate(turns, 1):
        before, generated, scores = _fields(item, number)
        if number == 1:
            prompt = before
            seen = list(before)
        _check_contiguous(seen, before, number)
        added = before[len(seen) :]
        mask += [0] * len(added) + [1] * len(generated)
        logprobs += [0.0] * len(added) + scores
        seen += added + generated
    return TokenRow(
        prompt_ids=prompt,
        completion_ids=seen[len(prompt) :],
        mask=mask,
        logprobs=logprobs,
        turns=len(turns),
    )


def _fields(item: Mapping[str, Any], turn: int) -> tuple[list[int], list[int], list[float]]:
    before = _ids(item, "prompt_token_ids", turn)
    generated = _ids(item, "generation_token_ids", turn)
    scores = as_list(item.get("generation_log_probs"))
    if len(scores) != len(generated):
        message = f"turn {turn}: {len(generated)} tokens with {len(scores)} log-probs"
        raise TokenError(DropReason.TOKENS_MALFORMED, message)
    if not _NUMBERS.issuperset(map(type, scores)) or not all(map(math.isfinite, scores)):
        raise TokenError(DropReason.TOKENS_MALFORMED, f"turn {turn}: a log-prob is not a finite number")
    return before, generated, list(map(float, scores))


def _ids(item: Mapping[str, Any], name: str, turn: int) -> list[int]:
    ids = item.get(name)
    if isinstance(ids, list) and _IDS.issuperset(map(type, ids)) and min(ids, default=0) >= 0:
        return ids
    raise TokenError(DropReason.TOKENS_MALFORMED, f"turn {turn}: {name} is not a list of token ids")


def _check_contiguous(seen: list[int], before: list[int], turn: int) -> None:
    if before[: len(seen)] == seen:
        return
    first = next((index for index, pair in enumerate(zip(seen, before, strict=False)) if pair[0] != pair[1]), None)
    if first is None:
        message = f"turn {turn}: the prompt has {len(before)} tokens, fewer than the {len(seen)} seen so far"
    else:
        message = f"turn {turn}: token {first} of the prompt is {before[first]}, not {seen[first]} as seen before"
    raise TokenError(DropReason.TOKENS_NOT_CONTIGUOUS, message)
