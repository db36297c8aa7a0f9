"""The last step of a run: the order of results, metrics, and the report."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING

from gymctl.rollouts import events
from gymctl.rollouts.files import replacing
from gymctl.rollouts.history import ResultHead, lines_of
from gymctl.rollouts.metrics import aggregate
from gymctl.rollouts.pending import Rows
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunFiles, RunSpec

if TYPE_CHECKING:
    from gymctl.server.calls.client import Client

_STATE = "all results are written, in completion order"
_HINT = "free disk space, then run the same command with --resume"


async def close_run(run: RunSpec, client: Client, report: Report, emit: events.OnEvent) -> None:
    """Finish the files of a run that went to its end; one that was interrupted is left for ``resume``.

    Raises:
        RunError: the disk is full; the results themselves are complete and in completion order.
    """
    if report.interrupted or not report.done:
        return
    if run.order == "input" and not report.unfinished:
        await asyncio.to_thread(put_in_input_order, run.files)
    ask = not report.stalled
    metrics = await aggregate(run.output, run.files.metrics, client, ask=ask, deadline_s=run.deadline_s)
    report.files["metrics"] = str(run.files.metrics)
    report.notes.extend(metrics.notes)
    for note in metrics.notes:
        emit(events.RunNote(note))


def put_in_input_order(files: RunFiles) -> None:
    """Rewrite the output in the order of the materialised inputs, each rollout once; those of other inputs come last.

    Results are journalled as they finish and put in order at the end: holding them back instead would lose them in a
    crash, and would need memory without bound behind one slow rollout. In memory there is one offset per result.
    """
    places: dict[tuple[int, int], tuple[int, int]] = {}
    offset = 0
    for line, head in lines_of(files.output, ResultHead):
        if head is not None:
            places.setdefault(head.key, (offset, len(line)))
        offset += len(line)
    rows = Rows(files.materialized)
    with replacing(files.output, _STATE, _HINT) as out, files.output.open("rb") as results:
        ordered = (places.pop(key) for key in rows.all_keys() if key in places)
        for start, size in chain(ordered, places.values()):
            results.seek(start)
            out.write(results.read(size))
    rows.close()
