"""Refusals that say that the context is full, and those that do not."""

from __future__ import annotations

import orjson
import pytest

from gymctl.server.models.context_limits import CONTEXT_LIMITS, ContextLimit, exceeds_context


def bodies(limit: ContextLimit) -> list[str]:
    """The refusal in the shapes that servers and gateways give it."""
    error: dict[str, str | int | None]
    if limit.is_code:
        error = {"message": "no", "code": limit.example, "type": "invalid_request_error"}
        other = {"message": "no", "code": 400, "type": limit.example}
        return [orjson.dumps({"error": error}).decode(), orjson.dumps({"error": other}).decode()]
    error = {"message": limit.example, "type": "BadRequestError", "param": None, "code": 400}
    wrapped = {"error": {"message": orjson.dumps({"error": error}).decode(), "code": 400}}
    gateway = {"error": {"message": f"litellm.BadRequestError: XException - {limit.example}"}}
    shapes = [{"error": error}, {"object": "error", **error}, {"detail": limit.example}, {"error": limit.example}]
    if limit.pattern.pattern.startswith("^"):
        gateway = {"error": {"message": limit.example}}
    return [limit.example, *(orjson.dumps(shape).decode() for shape in (*shapes, wrapped, gateway, [{"error": error}]))]


@pytest.mark.parametrize("limit", CONTEXT_LIMITS, ids=lambda limit: f"{limit.server}: {limit.example[:40]}")
def test_every_entry_is_recognised_in_every_shape(limit: ContextLimit) -> None:
    assert limit.source
    for body in bodies(limit):
        for status in limit.statuses:
            assert exceeds_context(status, body, {"max_tokens": 100}), body
        assert not exceeds_context(503, body, {})
        assert not exceeds_context(400, body, {"max_tokens": 0})


@pytest.mark.parametrize("limit", [entry for entry in CONTEXT_LIMITS if "limit" in entry.pattern.groupindex])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_asking_for_the_whole_context_is_a_mistake_of_the_request(limit: ContextLimit, name: str) -> None:
    match = limit.pattern.search(limit.example)
    assert match is not None
    assert not exceeds_context(400, limit.example, {name: int(match["limit"])})
    assert exceeds_context(400, limit.example, {name: int(match["limit"]) - 1})


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens is too large: 65536. This model supports at most 16384 completion tokens",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens must be an integer",
        "Invalid value for 'max_model_len'",
        "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 4096 "
        "tokens",
        "temperature must be non-negative",
        "context length",
        "The parameter truncation cannot be used to extend the context length of this model",
        f"Invalid content: {'x' * 300} prompt is too long: 5 tokens > 4 maximum",
        "",
        "[]",
        "[[[[[[[[[[[[]]]]]]]]]]]]",
        '{"error": null}',
        '{"error": {"message": 5}}',
        '{"error": {"code": "context_length"}}',
    ],
)
def test_other_refusals_are_mistakes_of_the_request(text: str) -> None:
    assert not exceeds_context(400, text, {"max_tokens": 65536})
    assert not exceeds_context(400, orjson.dumps({"error": {"message": text, "param": "max_tokens"}}).decode(), {})
