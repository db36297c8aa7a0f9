"""Text of models, tools and rows made safe to print: characters that can deceive a terminal or a reader are escaped."""

from __future__ import annotations

import json
import re
from typing import Any

# C0, DEL and C1 control characters, soft hyphen, bidirectional controls, invisible characters (joiners that scripts
# need stay), line and paragraph separators, lone surrogates, and the tag characters that hide text in emoji.
_ALWAYS = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_ONE_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_ALWAYS}]")
_MANY_LINES = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_ALWAYS}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    if number < 0x10000:
        return f"\\u{number:04x}"
    return f"\\U{number:08x}"


def visible(text: str) -> str:
    """Text for one line: every control, bidirectional or invisible character becomes an escape."""
    return _ONE_LINE.sub(_escape, text)


def visible_lines(text: str) -> str:
    """Text of several lines: as ``visible``, but newlines and tabs stay."""
    return _MANY_LINES.sub(_escape, text)


def shortened(text: str, limit: int) -> str:
    """One visible line of at most ``limit`` characters; a longer text ends in ``...``."""
    line = visible(text[: limit + 1])
    if len(line) <= limit:
        return line
    return f"{line[: max(0, limit - 3)]}..."


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in printable ASCII only, so that no text in it can act on a terminal."""
    return json.dumps(value, indent=indent, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")
