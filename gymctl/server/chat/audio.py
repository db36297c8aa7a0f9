"""Audio beside a request: the Responses API has no place for it, so NeMo Gym's rows carry it in ``metadata``.

``audio_data`` is a data URI, ``audio_path`` a file, ``audio_paths`` a list of files (or the list as JSON: values of
metadata are texts). Files are sent as data URIs, before the text of the last user message.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from gymctl.server.message import RefusedError

AUDIO_KEYS = ("audio_data", "audio_path", "audio_paths")
# What vLLM's decoders tell formats by; a wrong one would be decoded wrongly without a word.
_SUBTYPES = {".wav": "wav", ".flac": "flac", ".mp3": "mpeg", ".m4a": "mp4", ".ogg": "ogg", ".opus": "opus"}


def has_audio(metadata: Mapping[str, Any]) -> bool:
    """Whether a request's metadata carries audio."""
    return any(metadata.get(key) for key in AUDIO_KEYS)


def audio_uris(metadata: Mapping[str, Any], root: str | None) -> list[str]:
    """Data URIs of the audio that metadata carries; files are read. ``root`` is where relative paths begin.

    Raises:
        RefusedError: two keys at once, a file that is not there, or of no known kind.
    """
    given = [key for key in AUDIO_KEYS if metadata.get(key)]
    if len(given) > 1:
        raise RefusedError(("metadata",), f"{', '.join(given)} are mutually exclusive; one of them can be given")
    if not given:
        return []
    key = given[0]
    value = metadata[given[0]]
    if key == "audio_data":
        return [value]
    return [_uri(path, root, key) for path in ([value] if key == "audio_path" else _paths(value))]


def put_audio_in(messages: list[dict[str, Any]], uris: Sequence[str]) -> None:
    """Add audio parts to the last user message, before what it has; to a new one when there is none."""
    parts: list[dict[str, Any]] = [{"type": "audio_url", "audio_url": {"url": uri}} for uri in uris]
    target = next((message for message in reversed(messages) if message.get("role") == "user"), None)
    if target is None:
        messages.append({"role": "user", "content": parts})
        return
    content = target.get("content")
    if isinstance(content, str):
        text = [{"type": "text", "text": content}]
    else:
        text = list(content or ())
    target["content"] = parts + text


def _paths(value: Any) -> list[str]:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise RefusedError(("metadata", "audio_paths"), "must be a list of paths")
    return value


def _uri(given: str, root: str | None, key: str) -> str:
    if root is None:
        path = Path(given)
    else:
        path = Path(root) / given
    if not path.is_absolute():
        raise RefusedError(("metadata", key), f"{given!r} is relative, and the server has no audio_root")
    subtype = _SUBTYPES.get(path.suffix.lower())
    if subtype is None:
        raise RefusedError(
            ("metadata", key), f"{given!r} is of no known kind; known are {', '.join(sorted(_SUBTYPES))}"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(("metadata", key), f"{path}: {error.strerror}") from error
    return f"data:audio/{subtype};base64,{base64.b64encode(content).decode()}"
