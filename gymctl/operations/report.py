"""The report page of a run that just ended: written when that takes little, and left to ``gymctl report`` otherwise."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.errors import GymctlError
from gymctl.rollouts import events

if TYPE_CHECKING:
    from gymctl.rollouts.events import OnEvent
    from gymctl.rollouts.report import Report
    from gymctl.rollouts.spec import RunSpec

_MOST_S = 5.0
"""Seconds that the end of a run may be later for its report."""


class _TooLongError(Exception):
    """The results cannot be indexed in the time that there is."""


def add_report_page(report: Report, run: RunSpec, on_event: OnEvent) -> None:
    """Write the report page next to the results and add it to the report's files, or add a note why not."""
    problem = _write_page(report, run.output, run.pass_threshold)
    if problem:
        report.notes.append(problem)
        on_event(events.RunNote(problem))


def _write_page(report: Report, output: Path, pass_threshold: float) -> str:
    """Why the page was not written; empty when it was, or when the run was interrupted."""
    from gymctl.results import Index, report_path, write_report_page

    if report.interrupted or not output.is_file():
        return ""
    deadline = time.monotonic() + _MOST_S

    def on_progress(_: int, __: int) -> None:
        """Stop between two batches; what is indexed stays indexed."""
        if time.monotonic() > deadline:
            raise _TooLongError

    try:
        with Index.open(output, on_progress) as index:
            page = write_report_page(index, report_path(output), pass_threshold)
    except _TooLongError:
        return f"no report was written, because the results are large. To write it: gymctl report {output}"
    except (GymctlError, OSError, sqlite3.Error) as error:
        return f"no report was written: {error}"
    report.files["report"] = str(page.path)
    return ""
