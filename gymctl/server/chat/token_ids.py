"""Token ids and log-probabilities for training, as vLLM gives them and as NeMo Gym puts them on an item.

vLLM from 0.10.2 answers ``return_token_ids`` with the ids of prompt and answer themselves. An older one gives only the
answer's, in the place of the log-probs' token texts (``token_id:123``); the prompt's then take a call of /tokenize.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

TRAINING_FIELDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs", "routed_experts")
_PREFIX = "token_id:"


class NoTokenIdsError(ValueError):
    """The endpoint did not return what was requested; the message names what is missing."""


def ask_for_token_ids(request: dict[str, Any]) -> None:
    """Add to a chat request what makes vLLM report token ids; 0 alternatives, which null would not give."""
    request.update(logprobs=True, top_logprobs=0, return_tokens_as_token_ids=True)
    request.setdefault("return_token_ids", True)  # ``extra_body`` may say false


def check_training_fields(message: Mapping[str, Any]) -> None:
    """Check the training fields that an endpoint put on a message itself.

    Raises:
        NoTokenIdsError: they are not token ids and as many log-probabilities.
    """
    ids = message.get("generation_token_ids")
    logprobs = message.get("generation_log_probs")
    if not _are_token_ids(message.get("prompt_token_ids")) or not _are_token_ids(ids):
        raise NoTokenIdsError("the token ids on the message are malformed: they must be lists of whole numbers")
    if not isinstance(logprobs, list) or not all(isinstance(each, int | float) for each in logprobs):
        raise NoTokenIdsError("the log-probs on the message are malformed: they must be a list of numbers")
    if len(ids) != len(logprobs):
        raise NoTokenIdsError(f"the message has {len(ids)} token ids but {len(logprobs)} log-probs")


def prompt_ids(completion: Mapping[str, Any]) -> list[int] | None:
    """The prompt's token ids, if the endpoint gave them along."""
    ids = completion.get("prompt_token_ids")
    if isinstance(ids, list):
        return ids
    return None


def generated(choice: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    """Token ids and log-probs of an answer, one of each per token; both empty when nothing was generated.

    Raises:
        NoTokenIdsError: they are not there, or not as many of one as of the other.
    """
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, Mapping):
        tokens = logprobs.get("content")
    else:
        tokens = None
    if tokens is None:
        raise NoTokenIdsError("the answer has no log-probs, although the request asked for them")
    if not _are_log_probs(tokens):
        raise NoTokenIdsError("the returned log-probs are malformed: each token needs a string and a number")
    ids = choice.get("token_ids")
    if ids is None:
        try:
            ids = [int(token["token"].removeprefix(_PREFIX)) for token in tokens]
        except ValueError:
            raise NoTokenIdsError(
                "the log-probs hold token text instead of token ids: only vLLM supports return_tokens_as_token_ids"
            ) from None
    if not _are_token_ids(ids):
        raise NoTokenIdsError("the returned token ids are malformed: they must be whole numbers")
    if len(ids) != len(tokens):
        raise NoTokenIdsError(f"received {len(ids)} token ids but {len(tokens)} log-probs")
    return ids, [token["logprob"] for token in tokens]


# The types of all values at once: a check of each value in Python takes as long as everything else about an answer.


def _are_token_ids(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and set(map(type, value)) <= {int, bool} and min(value, default=0) >= 0


def _are_log_probs(tokens: Any) -> bool:
    if not isinstance(tokens, list) or not set(map(type, tokens)) <= {dict}:
        return False
    texts = {type(token.get("token")) for token in tokens}
    numbers = {type(token.get("logprob")) for token in tokens}
    return texts <= {str} and numbers <= {int, float, bool}
