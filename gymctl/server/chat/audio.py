"""Audio of a request: the Responses API has no field for it, so NeMo Gym's rows carry it in ``metadata``.

``audio_data`` is a data URI, ``audio_path`` a file, ``audio_paths`` a list of files (or the list as JSON: values of
metadata are texts). Files are sent as data URIs, before the text of the last user message. A row comes from anywhere:
its files are those in the folder that the server is configured with, and nobody fetches an address for it.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from gymctl.server.message import RefusedError

AUDIO_KEYS = ("audio_data", "audio_path", "audio_paths")
# What vLLM's decoders tell formats by; a wrong one would be decoded wrongly without a word.
_SUBTYPES = {".wav": "wav", ".flac": "flac", ".mp3": "mpeg", ".m4a": "mp4", ".ogg": "ogg", ".opus": "opus"}
_DATA_URI = re.compile(r"data:audio/[\w.+-]+(?:;[\w-]+=[\w.+-]+)*;base64,[A-Za-z0-9+/_-]*={0,2}", re.ASCII)
_MOST_BYTES = 256 << 20  # of all files of a request


def has_audio(metadata: Mapping[str, Any]) -> bool:
    """Whether a request's metadata carries audio."""
    return any(metadata.get(key) for key in AUDIO_KEYS)


def audio_uris(metadata: Mapping[str, Any], root: str | None) -> list[str]:
    """Data URIs of the audio that metadata carries; files are read, which must be in the folder ``root``.

    Raises:
        RefusedError: two keys at once, an address that is not data, a file that is not in ``root``, is not there, or is
            not of a known kind.
    """
    keys = [key for key in AUDIO_KEYS if metadata.get(key)]
    if len(keys) > 1:
        raise RefusedError(("metadata",), f"{', '.join(keys)} are mutually exclusive; set only one")
    if not keys:
        return []
    key = keys[0]
    value = metadata[keys[0]]
    if key == "audio_data":
        if not isinstance(value, str) or not _DATA_URI.fullmatch(value):
            raise RefusedError(("metadata", key), "must be a data URI: data:audio/wav;base64,...")
        return [value]
    if root is None:
        raise RefusedError(("metadata", key), "audio files need audio_root in the server's configuration")
    if key == "audio_paths":
        paths = _paths(value)
    else:
        paths = [value]
    return list(_uris(paths, Path(root).resolve(), key))


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


def _uris(paths: Sequence[Any], root: Path, key: str) -> Iterator[str]:
    left = _MOST_BYTES
    for path in paths:
        content = _content(path, root, key, left)
        left -= len(content)
        subtype = _SUBTYPES[Path(path).suffix.lower()]
        yield f"data:audio/{subtype};base64,{base64.b64encode(content).decode()}"


def _content(path_value: Any, root: Path, key: str, most: int) -> bytes:
    """A file's bytes.

    Raises:
        RefusedError: it is not in ``root``, cannot be read, has more than ``most`` bytes, or is not of a known kind.
    """
    if not isinstance(path_value, str) or Path(path_value).suffix.lower() not in _SUBTYPES:
        known = ", ".join(sorted(_SUBTYPES))
        raise RefusedError(("metadata", key), f"{path_value!r} is not a supported type; supported: {known}")
    try:
        path = (root / path_value).resolve()
        if not path.is_relative_to(root):
            raise RefusedError(("metadata", key), f"{path_value!r} is not in the server's audio_root")
        with open(path, "rb", opener=_opened) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RefusedError(("metadata", key), f"{path_value!r} is not a file")
            content = file.read(most + 1)
    except OSError as error:
        raise RefusedError(("metadata", key), f"{path_value!r}: {error.strerror}") from error
    except ValueError as error:  # a NUL in it
        raise RefusedError(("metadata", key), f"{path_value!r} is not a path") from error
    if len(content) > most:
        raise RefusedError(
            ("metadata", key), f"{path_value!r}: more than {_MOST_BYTES >> 20} MB of audio in one request"
        )
    return content


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would not open until somebody writes
