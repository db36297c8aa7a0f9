"""What came from outside and is shown does nothing to a terminal, and forges no line of a log."""

from __future__ import annotations

import io
import logging
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from gymctl.config.console import Console
from gymctl.config.terminal_text import PlainStream, last_lines, one_line, plain, plain_output
from gymctl.server.run.log_lines import LineFormatter

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear the screen": "\x1b[2J\x1b[Hnew",
    "C1 control sequence": "\x9b2Jnew",
    "title": "\x1b]0;OWNED\x07text",
    "title that ends with ST": "\x1b]0;OWNED\x1b\\text",
    "link": "\x1b]8;;http://evil.example\x1b\\text\x1b]8;;\x1b\\",
    "C1 title": "\x9d0;OWNED\x9ctext",
    "DCS": "\x1bP1$r0m\x1b\\text",
    "C1 DCS": "\x90q#0;2;0;0;0#0~~\x9ctext",
    "APC": "\x1b_Gf=24;AAAA\x1b\\text",
    "PM": "\x1b^secret\x1b\\text",
    "SOS": "\x1bXsecret\x1b\\text",
    "string without an end": "text\x1b]52;c;cm0gLXJm\nnext",
    "reset": "\x1bctext",
    "character set": "\x1b(0text",
    "carriage return": "error\rfine",
    "backspaces": "bad\b\b\bgood",
    "bell and form feed": "\x07\x0c",
    "next line": "one\x85two",
    "line separators": "one\u2028two\u2029three",
    "bidirectional text": "\u202egnp.exe\u202c \u2066x\u2069",
    "half a pair": "\ud800",
    "delete": "\x7f",
    "nested": "\x1b\x1b[31m[2J",
}


def is_harmless(text: str) -> bool:
    """Whether a text has no control character but tab and line feed, and can be encoded."""
    bad = {"\u061c", "\u200e", "\u200f", *map(chr, (*range(0x2028, 0x202F), *range(0x2066, 0x206A)))}
    return not any((unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") or c in bad for c in text)


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_left(name: str) -> None:
    assert is_harmless(plain(HOSTILE[name]))
    assert is_harmless(one_line(HOSTILE[name]))
    assert "\n" not in one_line(HOSTILE[name])


@given(st.text() | st.lists(st.sampled_from([*HOSTILE.values(), "a", "\n", "\x1b", "["])).map("".join))
def test_any_text_is_harmless_and_plain_text_stays(text: str) -> None:
    once = plain(text)
    assert is_harmless(once)
    assert plain(once) == once
    assert (once == text) == is_harmless(text)


def test_what_a_control_character_was_can_be_seen() -> None:
    assert plain("a\x00\x1bb\r\x85\u202e\n\tc\r\n") == "a\\x00\\x1bb\\x0d\\x85\\u202e\n\tc\n"
    assert one_line("a\nb\tc") == "a\\nb\\tc"
    assert last_lines("\x1b[2Kone\n\n\x1b[2Ktwo \nthree", 2) == ["two", "three"]


def test_a_string_without_an_end_takes_no_line_along() -> None:
    assert plain("text\x1b]0;x\nnext") == "text\nnext"


class Terminal(io.StringIO):
    """A stream that rich takes for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", HOSTILE)
def test_tables_and_lines_on_a_terminal(name: str) -> None:
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True, color_system="standard", width=200)
    table = Table("server [/x]", box=None)
    table.add_row(HOSTILE[name])
    table.add_row(Text(HOSTILE[name], style="red"))
    console.print(table)
    console.print(HOSTILE[name], style="red")
    console.print("x", style="red")
    own = terminal.getvalue().replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\x1b[31m" in terminal.getvalue()
    assert is_harmless(own), own


def test_brackets_are_text() -> None:
    terminal = Terminal()
    Console(file=terminal, width=80).print("[red]a[/] [/x] :smile:")
    assert terminal.getvalue() == "[red]a[/] [/x] :smile:\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_standard_output(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with plain_output():
        print(HOSTILE[name])
        sys.stderr.write(HOSTILE[name])
    captured = capsys.readouterr()
    assert captured.out == f"{plain(HOSTILE[name])}\n"
    assert captured.err == plain(HOSTILE[name])


def test_a_stream_that_lacks_a_character() -> None:
    raw = io.BytesIO()
    stream = PlainStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.writelines(["ü", "\x1b[31m", "x"])
    stream.flush()
    assert raw.getvalue() == b"\\xfcx"


def _fail(text: str) -> None:
    raise ValueError(text)


def test_a_record_is_one_line_and_a_traceback_passes_for_none() -> None:
    forged = "evil\n2026-11-27 00:00:00,000 INFO policy_model registered\x1b[2J"
    try:
        _fail(forged)
    except ValueError:
        record = logging.LogRecord("n", logging.INFO, "f", 1, "%s was refused", (forged,), sys.exc_info())
    first, *others = LineFormatter().format(record).split("\n")
    assert first.endswith("evil\\n2026-11-27 00:00:00,000 INFO policy_model registered was refused")
    assert len(others) > 2
    assert all(line.startswith("  ") for line in others)
    assert is_harmless("".join(others))
