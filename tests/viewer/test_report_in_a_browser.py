"""A report opened from disk in a browser without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_page import Browser
from view_rows import write_run

from gymctl.results import Index, write_report_page

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_there_without_a_request(scheme: str, tmp_path: Path, browser: Browser) -> None:
    path = tmp_path / "rollouts.jsonl"
    output = tmp_path / "report.html"
    write_run(path, seed=5)
    with Index.open(path) as index:
        page_written = write_report_page(index, output)
    assert page_written.size == output.stat().st_size
    page = browser.open(offline=True, colorScheme=scheme)
    page.goto(output.as_uri())
    page.until("document.querySelectorAll('line-chart canvas').length === 4")
    assert page.count(".histogram .bars") == 3
    assert page.count(".groups tbody tr") == 20
    assert page.count("[id^=chosen-]") == 50
    page.click("#chosen-10 button")
    page.wait(".opened .item")
    assert "What is the weather in city" in page.text(".opened")
    assert page.axe() == []
    log = page.log
    page.close()
    assert log["requests"] == [output.as_uri()]
    assert log["errors"] == []
