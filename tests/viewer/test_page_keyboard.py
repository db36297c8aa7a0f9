"""The page without a pointer."""

from __future__ import annotations

import pytest
from browser_page import Page
from view_process import View

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_from_the_runs_to_a_rollout_and_back_with_keys_alone(page: Page, run_id: str) -> None:
    page.press("j", "Enter")
    page.wait(".charts")
    assert page.hash == f"#/run/{run_id}"
    page.press("g", "r")
    page.wait(".row.active")
    page.press("j", "j", "k", "Enter")
    page.wait(".conversation")
    first = page.text("h1")
    page.press("j")
    page.until(f"document.querySelector('h1').innerText !== {first!r}")
    page.press("k")
    page.until(f"document.querySelector('h1').innerText === {first!r}")
    page.press("v")
    page.wait(".text.raw")
    page.press("v", "u")
    page.wait(".row.active")
    assert first.endswith(page.text(".row.active a"))


def test_the_list_moves_by_pages_and_to_its_ends(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollouts?sort=task")
    page.wait(".row a")
    page.press("End")
    page.until("document.querySelector('.row.active a')?.innerText === '59:3'")
    page.press("PageUp")
    page.until("document.querySelector('.row.active a')?.innerText !== '59:3'")
    page.press("Home")
    page.until("document.querySelector('.row.active a')?.innerText === '0:0'")
    active = page.locate(".scroller", "getAttribute", "aria-activedescendant")
    assert page.count(f"#{active}.active") == 1


def test_search_focuses_with_a_slash_and_filters_go_with_x(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollouts?outcome=failed")
    page.wait(".row a")
    page.press("/")
    assert page.evaluate("document.activeElement.name") == "text"
    page.press("j")  # a letter, not a command
    assert page.locate("input[name=text]", "inputValue") == "j"
    page.press("Escape", "x")
    page.until("!location.hash.includes('outcome')")


def test_help_opens_and_closes(page: Page) -> None:
    page.press("?")
    page.wait("dialog[open]")
    assert page.axe() == []
    page.press("Escape")
    page.until("!document.querySelector('dialog[open]')")


def test_every_control_can_be_reached_with_tab(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollouts")
    page.wait(".row a")
    page.evaluate("document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(140):
        page.press("Tab")
        reached.add(page.evaluate("(document.activeElement.name || document.activeElement.className || '').toString()"))
    assert {"text", "outcome", "agent", "tool", "failure_class", "bar", "scroller", "home", "help"} <= reached


def test_keys_go_through_views(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}")
    page.wait(".charts")
    for key, path in (("t", "groups"), ("o", "overview"), ("r", "rollouts")):
        page.press("g", key)
        page.until(f"location.hash.endsWith('/{path}') && document.querySelector('h1')")
    for key, path in (("c", "#/compare"), ("s", "#/stack"), ("h", "#/")):
        page.press("g", key)
        page.until(f"location.hash.startsWith({path!r})")
