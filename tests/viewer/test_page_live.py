"""Rows that appear while the page is open."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browser_page import Browser, Page
from view_process import TOKEN, start_view, stop_view
from view_rows import append, failure_row, rollout_row, write_run

from gymctl.viewer.runs import Run

pytestmark = [pytest.mark.browser, pytest.mark.processes]


class LiveRun(NamedTuple):
    """A results file that grows, and how to open a page of it."""

    path: Path
    open_page: Callable[[], Page]


@pytest.fixture
def live(tmp_path: Path, browser: Browser) -> Iterator[LiveRun]:
    path = tmp_path / "rollouts.jsonl"
    write_run(path, seed=3, tasks=5)
    process, base = start_view(str(path), cwd=tmp_path)
    address = f"{base}/#/run/{Run.of(path, tmp_path).id}/rollouts"

    def open_page() -> Page:
        page = browser.open()
        page.goto(f"{base}/?token={TOKEN}")
        page.goto(address)
        page.wait(".row a")
        return page

    yield LiveRun(path, open_page)
    stop_view(process)


def has(count: int) -> str:
    return f"document.querySelector('.count')?.innerText.startsWith('{count} rollouts')"


def test_new_results_and_failures_appear_in_two_browsers(live: LiveRun) -> None:
    path, open_page = live
    pages = [open_page(), open_page()]
    append(path, rollout_row(random.Random(1), 90, 0))
    append(path.with_name("rollouts_failures.jsonl"), failure_row(91, 0))
    for page in pages:
        page.until(has(22))
        page.press("End")
        page.until("[...document.querySelectorAll('.row a')].some((link) => link.innerText === '91:0')")
        assert page.log["errors"] == []
        page.close()


def test_a_file_that_is_replaced_is_shown_as_it_is_now(live: LiveRun) -> None:
    path, open_page = live
    page = open_page()
    page.until(has(20))
    path.unlink()
    path.with_name("rollouts_failures.jsonl").unlink()
    write_run(path, seed=4, tasks=3)
    page.until(has(12))
    page.close()


def test_a_torn_line_is_shown_once_it_is_complete(live: LiveRun) -> None:
    path, open_page = live
    page = open_page()
    with path.open("a") as out:
        out.write('{"_ng_task_index": 95, "_ng_rollout')
        out.flush()
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 1200))")
        assert page.evaluate(has(20))
        out.write('_index": 0, "reward": 1.0, "agent_ref": {"name": "weather_agent"}, "response": {"output": []}}\n')
    page.until(has(21))
    page.close()
