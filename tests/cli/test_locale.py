"""Any text in any locale: files and pipes get UTF-8, a terminal gets what it can show."""

from __future__ import annotations

import io
import sys

import pytest

from gymctl.cli.main import _write_utf8

TEXT = "日本 é"


class Stream(io.TextIOWrapper):
    """A stream of a locale's encoding, to a terminal or not."""

    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_output(monkeypatch: pytest.MonkeyPatch, encoding: str, is_terminal: bool) -> None:
    raw = io.BytesIO()
    stream = Stream(raw, encoding=encoding)
    stream.is_terminal = is_terminal
    monkeypatch.setattr(sys, "stdout", stream)
    _write_utf8()
    sys.stdout.write(TEXT)
    sys.stdout.flush()
    if is_terminal and encoding != "utf-8":
        assert raw.getvalue() == TEXT.encode(encoding, "backslashreplace")
    else:
        assert raw.getvalue() == TEXT.encode()
