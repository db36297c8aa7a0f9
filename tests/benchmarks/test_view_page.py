"""The table of the page's benchmark has a column for each side, and shows what a side does not have."""

from __future__ import annotations

import pytest

from benchmarks.view_page import print_table


def test_sides_stand_next_to_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    gymctl = {"list_ms": 312.4, "list_bytes": 107_600, "search_first_ms": 61, "load": 1.2}
    print_table({"gymctl": gymctl, "inspect view": {"list_ms": 18_700, "list_bytes": 103_000_000, "load": 2.5}})
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows if row[0]}
    assert cells["list on screen, first visit"] == ["312.4 ms", "18,700.0 ms", "500.0 ms"]
    assert cells["search, first hits"] == ["61.0 ms", "-", "1,000.0 ms"]
    assert cells["load of the machine before"] == ["1.2", "2.5"]
