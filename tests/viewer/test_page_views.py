"""Each view of the page in a browser: what it shows, that it is accessible, and that its addresses work."""

from __future__ import annotations

import pytest
from browser_page import Browser, Page
from view_process import View
from view_rows import FAILED, REPEATS, TASKS

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ROLLOUTS = TASKS * REPEATS
VIEWS = {
    "runs": ("#/", "table.list tbody a"),
    "overview": ("#/run/{run}", ".charts .uplot"),
    "rollouts": ("#/run/{run}/rollouts", ".row a"),
    "rollout": ("#/run/{run}/rollout/7:1", ".conversation .item"),
    "failed rollout": ("#/run/{run}/rollout/0:1", ".failure"),
    "raw": ("#/run/{run}/rollout/7:1?show=raw", ".text.raw"),
    "groups": ("#/run/{run}/groups", ".groups tbody tr"),
    "task": ("#/run/{run}/task/7", ".repeat .waterfall"),
    "compare": ("#/compare?a={other}&b={run}", ".list tbody a"),
    "difference": ("#/compare?a={other}&b={run}&task_a=7&task_b=7", ".pair .half"),
    "stack": ("#/stack", "main code"),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_shows_its_content_and_is_accessible(
    name: str, scheme: str, page: Page, view: View, run_id: str, other_id: str
) -> None:
    page.call("emulateMedia", {"colorScheme": scheme})
    address, content = VIEWS[name]
    page.goto(f"{view.base}/{address.format(run=run_id, other=other_id)}")
    page.wait(content)
    page.wait("h1")
    assert page.axe() == []
    assert page.count("[role=alert]") == 0


def test_runs_are_listed_with_their_counts(page: Page) -> None:
    page.until(f"document.querySelector('main').innerText.includes('{ROLLOUTS}')")
    assert page.texts("tbody tr td:first-child") == ["after/rollouts.jsonl", "before/rollouts.jsonl"]
    assert page.texts("tbody tr td:nth-child(5)") == [str(FAILED)] * 2


def test_a_rollout_shows_conversation_reward_verifier_and_times(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollout/7:1")
    page.wait(".conversation .item")
    text = page.text("main")
    for part in (
        "What is the weather in city 7?",
        "The tool knows about city 7.",
        "get_weather",
        "Mild, 7:1.",
        "expected",
    ):
        assert part in text
    assert page.texts(".waterfall tbody th") == ["queue", "seed", "model", "tool", "verify", "between"]


def test_a_failed_rollout_shows_its_cause(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollout/0:1")
    page.wait(".failure")
    assert "timeout: weather /verify answered 504" in page.text(".failure")
    assert "weather: POST /verify took too long" in page.text(".failure")


def test_a_click_on_a_bar_filters_and_the_address_keeps_it(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollouts")
    page.wait(".row a")
    label = page.locate("button.bar >> nth=-1", "getAttribute", "aria-label")
    count = int(label.rsplit(": ", 1)[1].split()[0])
    page.click("button.bar >> nth=-1")
    page.until(f"document.querySelector('.count').innerText.startsWith('{count} rollout')")
    filtered = page.hash
    assert "min_seconds=" in filtered
    page.call("reload")
    page.until(f"document.querySelector('.count')?.innerText.startsWith('{count} rollout')")
    page.click(".chips button >> nth=-1")
    page.until(f"document.querySelector('.count').innerText.startsWith('{ROLLOUTS} rollouts')")
    page.call("goBack")
    page.until(f"document.querySelector('.count').innerText.startsWith('{count} rollout')")
    assert page.hash == filtered


def test_sort_and_filters_of_an_address_are_applied(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollouts?agent=math_agent&sort=reward&desc=1")
    page.wait(".row a")
    rewards = [float(text) for text in page.texts(".row > :nth-child(4)")]
    assert rewards == sorted(rewards, reverse=True)
    assert set(page.texts(".row > :nth-child(2)")) == {"math_agent"}
    assert page.locate("[role=columnheader]:has-text('reward')", "getAttribute", "aria-sort") == "descending"


def test_text_is_searched_in_every_field(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}/rollouts")
    page.wait("input[type=search]")
    page.locate("input[type=search]", "fill", "Mild, 33:2.")
    page.press("Enter")
    page.wait(".excerpt")
    page.until("document.querySelector('.count').innerText.includes('1 rollout found')")
    assert page.texts(".row a") == ["33:2"]


def test_a_failure_count_leads_to_its_rollouts(page: Page, view: View, run_id: str) -> None:
    page.goto(f"{view.base}/#/run/{run_id}")
    page.click("table.facts a")
    page.until(f"document.querySelector('.count')?.innerText.startsWith('{FAILED} rollouts')")
    assert set(page.texts(".row .notes")) == {"timeout at weather"}


def test_a_comparison_shows_flips_first_and_leads_to_the_lines_that_differ(
    page: Page, view: View, run_id: str, other_id: str
) -> None:
    page.goto(f"{view.base}/#/compare?a={other_id}&b={run_id}")
    page.wait('.list th:has-text("reward A")')  # the page before has a list too
    changes = page.texts(".list tbody td:nth-child(3)")
    order = ["↓ failed now", "↑ passes now", "same"]
    assert changes == sorted(changes, key=order.index)
    page.click(".list tbody a >> nth=0")
    page.wait(".pair .half")
    assert page.count(".changed .before mark") > 0
    assert page.count(".changed .after mark") > 0


def test_an_unknown_run_and_an_unknown_rollout_are_explained(browser: Browser, view: View, run_id: str) -> None:
    page = browser.open()
    page.goto(view.address)
    page.goto(f"{view.base}/#/run/nothing")
    page.wait("[role=alert]")
    assert "unknown run 'nothing'" in page.text("[role=alert]")
    page.goto(f"{view.base}/#/run/{run_id}/rollout/999:0")
    page.until("document.querySelector('[role=alert]')?.innerText.includes('has no such rollout')")
    page.close()


def test_without_the_token_nothing_is_shown(browser: Browser, view: View) -> None:
    page = browser.open()
    page.goto(f"{view.base}/")
    assert "open the address that gymctl view printed" in page.text("body")
    page.close()


def test_the_token_leaves_the_address_bar(page: Page, view: View) -> None:
    assert page.evaluate("location.href") == f"{view.base}/"
