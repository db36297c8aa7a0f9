"""Text that came from outside, made fit for a terminal, a log or a sentence of our own.

A model, an environment, an endpoint, a row or another machine may say anything. Sequences that a terminal would obey
are taken out; every other control character is shown as an escape, so that it can be seen and does nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

# Of ECMA-48, with 7 and with 8 bits: control sequences (colours, cursor moves; Compose puts ESC[2K before each line of
# a log even with --no-color), and control strings (DCS, SOS, OSC, PM, APC), which end with ST or BEL or with the text.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]+[0-~]"
    r"|\r(?=\n)"
)
# C0 but tab and line feed, DEL, C1; what turns the direction of writing; line and paragraph separators; halves of
# surrogate pairs, which no encoding can write.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text without terminal control sequences, other control characters than tab and line feed escaped."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_escaped, _SEQUENCE.sub("", text))


def one_line(text: str) -> str:
    """The text as ``plain`` has it, line breaks and tabs escaped too."""
    return plain(text).replace("\n", r"\n").replace("\t", r"\t")


def last_lines(text: str, count: int) -> list[str]:
    """The last ``count`` lines that are not blank, as ``plain`` has them."""
    return [line.rstrip() for line in plain(text).split("\n") if line.strip()][-count:]


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 256:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}"


class PlainStream:
    """A text stream that lets no control character through, in place of ``sys.stdout`` or ``sys.stderr``.

    Rich takes the stream behind it: what it draws is made of control sequences. Texts within that are made plain by
    ``gymctl.config.console.Console``. Characters that the stream's encoding lacks are escaped too.
    """

    encoding = "utf-8"  # of what can be written here

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write ``text`` as ``plain`` has it; the number of characters of ``text``."""
        written = plain(text)
        encoding = self.rich_proxied_file.encoding or "utf-8"
        self.rich_proxied_file.write(written.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Let no control character through to standard output and error."""
    out = cast(TextIO, PlainStream(sys.stdout))
    error = cast(TextIO, PlainStream(sys.stderr))
    with redirect_stdout(out), redirect_stderr(error):
        yield
