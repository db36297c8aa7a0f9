"""Reading what was collected: an index of a results file, and what is derived from it. Nothing here writes results.

``Index.open(path)`` is the way in; ``Index.rollouts(Query(...))`` lists, ``Index.transcript(rollout)`` reads one,
``summarise``, ``read_groups`` and ``compare`` compute. Text that a file holds is returned as it is: whoever shows it
escapes it (``escaping.visible`` for a terminal).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.lazy import names_on_demand

if TYPE_CHECKING:
    from gymctl.results.choices import GroupSort, Join, Outcome, Sort
    from gymctl.results.comparison import Change, Comparison, compare
    from gymctl.results.distribution import (
        Bin,
        Histogram,
        Measure,
        NameCount,
        Names,
        Stretch,
        Totals,
        read_histogram,
        read_names,
        read_stretches,
        read_totals,
    )
    from gymctl.results.groups import Group, GroupPage, read_groups
    from gymctl.results.index import Index
    from gymctl.results.query import DEFAULT_PASS_THRESHOLD, Query
    from gymctl.results.report_page import ReportPage, report_path, write_report_page
    from gymctl.results.rollout import Page, RolloutRecord
    from gymctl.results.row import Rank
    from gymctl.results.statistics import AgentStatistics, RunStatistics, summarise
    from gymctl.results.transcript import Transcript, read_transcript

__all__ = [
    "DEFAULT_PASS_THRESHOLD",
    "AgentStatistics",
    "Bin",
    "Change",
    "Comparison",
    "Group",
    "GroupPage",
    "GroupSort",
    "Histogram",
    "Index",
    "Join",
    "Measure",
    "NameCount",
    "Names",
    "Outcome",
    "Page",
    "Query",
    "Rank",
    "ReportPage",
    "RolloutRecord",
    "RunStatistics",
    "Sort",
    "Stretch",
    "Totals",
    "Transcript",
    "compare",
    "read_groups",
    "read_histogram",
    "read_names",
    "read_stretches",
    "read_totals",
    "read_transcript",
    "report_path",
    "summarise",
    "write_report_page",
]

_MODULES = {
    "choices": ("GroupSort", "Join", "Outcome", "Sort"),
    "comparison": ("Change", "Comparison", "compare"),
    "distribution": (
        "Bin",
        "Histogram",
        "Measure",
        "NameCount",
        "Names",
        "Stretch",
        "Totals",
        "read_histogram",
        "read_names",
        "read_stretches",
        "read_totals",
    ),
    "groups": ("Group", "GroupPage", "read_groups"),
    "index": ("Index",),
    "query": ("DEFAULT_PASS_THRESHOLD", "Query"),
    "report_page": ("ReportPage", "report_path", "write_report_page"),
    "rollout": ("Page", "RolloutRecord"),
    "row": ("Rank",),
    "statistics": ("AgentStatistics", "RunStatistics", "summarise"),
    "transcript": ("Transcript", "read_transcript"),
}
__getattr__ = names_on_demand(__name__, _MODULES)
