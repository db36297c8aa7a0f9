"""A conversation that no longer fits into the model's context: an end of the episode, told as such."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

# vLLM's ways of saying it (entrypoints/openai, sampling_params.py, v1/engine), OpenAI's code, and SGLang's words.
_SAID = re.compile(
    r"context length|context_length|max_tokens|max_completion_tokens|maximum model length|max_model_len", re.IGNORECASE
)


def overflowed(status: int, body: str, request: Mapping[str, Any]) -> bool:
    """Whether an error answer says that prompt and answer do not fit into the context.

    ``request`` is the chat request: one that itself asks for no token at all is wrong, not too long.
    """
    asked = request.get("max_tokens", request.get("max_completion_tokens"))
    if isinstance(asked, int) and asked < 1:
        return False
    return status == 400 and _SAID.search(body) is not None


def stopped(model: str, reason: str, said: str) -> dict[str, Any]:
    """A completion without words that ended for ``reason`` (``length``, ``content_filter``); ``said`` tells why."""
    message = {"role": "assistant", "content": None}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "detail": said,
    }
