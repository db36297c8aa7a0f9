"""Runs of rollouts, ``gymctl view`` on them, and pages of a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from browser_page import Browser, Page, missing_part
from view_process import View, start_view, stop_view
from view_rows import write_run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    problem = missing_part()
    if problem and os.environ.get("GYMCTL_REQUIRE_BROWSER") == "1":
        pytest.fail(f"GYMCTL_REQUIRE_BROWSER=1, but: {problem}", pytrace=False)
    if problem:
        pytest.skip(f"needs a browser: {problem}")
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "before" / "rollouts.jsonl", seed=1)
    write_run(folder / "after" / "rollouts.jsonl", seed=2)
    process, base = start_view(str(folder), cwd=folder)
    yield View(base, folder)
    stop_view(process)


@pytest.fixture
def page(browser: Browser, view: View) -> Iterator[Page]:
    """A page that is signed in. At the end it must have had no error, and no request to anywhere else."""
    page = browser.open()
    page.goto(view.address)
    page.wait("table.list")
    yield page
    log = page.log
    page.close()
    assert log["errors"] == [], log["errors"]
    assert log["dialogs"] == 0
    assert {address for address in log["requests"] if not address.startswith((f"{view.base}/", "data:"))} == set()


@pytest.fixture
def run_id(view: View) -> str:
    from gymctl.viewer.runs import Run

    return Run.of(view.folder / "after" / "rollouts.jsonl", view.folder).id


@pytest.fixture
def other_id(view: View) -> str:
    from gymctl.viewer.runs import Run

    return Run.of(view.folder / "before" / "rollouts.jsonl", view.folder).id
