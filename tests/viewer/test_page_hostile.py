"""Text that attacks the page, in every field that the page shows, is text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browser_page import Browser, Page
from hostile_strings import HOSTILE
from view_process import TOKEN, start_view, stop_view

from gymctl.results import Index, write_report_page
from gymctl.results.escaping import visible
from gymctl.viewer.runs import Run

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ELEMENTS = "script, iframe, img, svg, object, embed, form[action], [onerror], [onclick], a[href^=javascript]"
MARK = (
    "Boolean(globalThis.attacked || document.title.includes('attacked') "
    f"|| document.querySelector('main :is({ELEMENTS})'))"
)


def hostile_row(text: str, number: int) -> dict[str, Any]:
    """A result with the text in every field that takes one."""
    return {
        "responses_create_params": {"input": [{"role": text, "content": text}], "instructions": text},
        "response": {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]},
                {"type": "function_call", "call_id": text, "name": text, "arguments": text},
                {"type": "function_call_output", "call_id": text, "output": json.dumps({"error": text})},
                {"type": text, "value": text},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]},
            ],
            "model": text,
            "status": "incomplete",
            "incomplete_details": {"reason": text},
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
        "reward": 0.0,
        "verdict": text,
        text: text,
        "nested": {text: [text]},
        "agent_ref": {"name": text},
        "_ng_task_index": number,
        "_ng_rollout_index": 0,
        "_gymctl_timing": {"queue_ms": 1.0, "total_ms": 5.0, "hops": {text: 2.0}},
    }


def hostile_failure(text: str, number: int) -> dict[str, Any]:
    cause = {"message": text, "hop": text, "path": text, "status": 500, "body": text}
    return {
        "_ng_task_index": number,
        "_ng_rollout_index": 1,
        "agent_ref": {"name": text},
        "_ng_failure_class": text,
        "_gymctl_failure": cause,
    }


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=attacked=1>"
    folder.mkdir()
    path = folder / "rollouts.jsonl"
    rows = [hostile_row(text, number) for number, text in enumerate(HOSTILE)]
    failures = [hostile_failure(text, number) for number, text in enumerate(HOSTILE)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.with_name("rollouts_failures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in failures))
    (folder / "second.jsonl").write_text(path.read_text())
    return path


class HostilePage(NamedTuple):
    """A page that is signed in to a view of the hostile run."""

    page: Page
    base: str
    run_id: str


@pytest.fixture(scope="module")
def hostile_page(hostile_run: Path, browser: Browser) -> Iterator[HostilePage]:
    process, base = start_view(str(hostile_run.parent.parent), cwd=hostile_run.parent)
    page = browser.open()
    page.goto(f"{base}/?token={TOKEN}")
    run_id = Run.of(hostile_run, hostile_run.parent.parent).id
    yield HostilePage(page, base, run_id)
    log = page.log
    page.close()
    stop_view(process)
    assert log["errors"] == []
    assert log["dialogs"] == 0
    assert [address for address in log["requests"] if not address.startswith((base, "data:"))] == []


def test_there_are_at_least_200_strings() -> None:
    assert len(set(HOSTILE)) >= 200


def test_lists_show_them_as_text(hostile_page: HostilePage, hostile_run: Path) -> None:
    page, base, run_id = hostile_page
    second = Run.of(hostile_run.with_name("second.jsonl"), hostile_run.parent.parent).id
    for view, content in (
        ("#/", "tbody a"),
        (f"#/run/{run_id}", ".charts"),
        (f"#/run/{run_id}/rollouts", ".row a"),
        (f"#/run/{run_id}/groups", ".groups tbody tr"),
        (f"#/compare?a={run_id}&b={second}", ".list tbody a"),
        (f"#/compare?a={run_id}&b={second}&task_a=3&task_b=3", ".half"),
    ):
        page.goto(f"{base}/{view}")
        page.wait(content)
        assert not page.evaluate(MARK), view


def test_each_rollout_shows_them_as_text_in_every_field(hostile_page: HostilePage) -> None:
    page, base, run_id = hostile_page
    for number, text in enumerate(HOSTILE):
        page.goto(f"{base}/#/run/{run_id}/rollout/{number}:0")
        page.until(
            f"document.querySelector('h1')?.innerText === 'Rollout {number}:0' && document.querySelector('.item')"
        )
        assert not page.evaluate(MARK), text
        page_text = page.evaluate("document.querySelector('main').textContent")
        expected = visible(text.strip()).replace("\\n", "\n").replace("\\t", "\t")
        assert page_text.count(expected) >= 6, text
        if number % 4:
            continue
        page.goto(f"{base}/#/run/{run_id}/rollout/{number}:1")
        page.until("document.querySelector('.failure')")
        assert not page.evaluate(MARK), text


def test_addresses_with_them_are_harmless(hostile_page: HostilePage) -> None:
    page, base, run_id = hostile_page
    for text in HOSTILE[::8]:
        quoted = page.evaluate(f"encodeURIComponent({json.dumps(text)}.toWellFormed())")
        page.goto(f"{base}/#/run/{run_id}/rollouts?agent={quoted}&tool={quoted}")
        page.until("document.querySelector('.count')?.innerText.includes('rollout')")
        assert not page.evaluate(MARK), text
    page.goto(f"{base}/#/")


def test_escapes_are_the_ones_of_the_command_line(hostile_page: HostilePage) -> None:
    page, *_ = hostile_page
    script = """import('/static/text.js').then(({plainLine}) => {
        const changed = [];
        for (let code = 0; code < 0x110000; code += 1) {
            const character = String.fromCodePoint(code);
            const shown = plainLine(character);
            if (shown !== character) changed.push([code, shown]);
        }
        return changed;
    })"""
    in_python = [[code, visible(chr(code))] for code in range(0x110000) if visible(chr(code)) != chr(code)]
    assert page.evaluate(script) == in_python


def test_indentation_changes_no_token(hostile_page: HostilePage) -> None:
    page, *_ = hostile_page
    text = (
        '{"a":[1e400,12345678901234567890,"x: {[,]} \\\\\\" y"],"a":{},"b":[],"c":{"d":null}, "long": "'
        + "z" * 90
        + '"}'
    )
    script = f"import('/static/text.js').then(({{indented}}) => indented({json.dumps(text)}))"
    result = page.evaluate(script)
    assert "12345678901234567890" in result
    assert "1e400" in result
    assert result.count('"a"') == 2
    assert "".join(result.split()) == "".join(text.split())


def test_a_report_shows_them_as_text(hostile_run: Path, browser: Browser, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    with Index.open(hostile_run) as index:
        write_report_page(index, output)
    page = browser.open(offline=True)
    page.goto(output.as_uri())
    page.wait("[id^=chosen-] button")
    for number in range(50):
        page.click(f"#chosen-{number} button")
        page.wait(".opened")
        assert not page.evaluate(MARK)
    assert page.log["errors"] == []
    assert page.log["requests"] == [output.as_uri()]
    page.close()
