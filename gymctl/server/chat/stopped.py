"""Completions for a generation that ended before it produced any text."""

from __future__ import annotations

import time
import uuid
from typing import Any


def stopped(model: str, reason: str, detail: str) -> dict[str, Any]:
    """A completion without text that ended with ``reason`` (``length``, ``content_filter``); ``detail`` explains it."""
    message = {"role": "assistant", "content": None}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "detail": detail,
    }
