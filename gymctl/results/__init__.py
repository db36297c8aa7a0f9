"""Reading what was collected: an index of a results file, and what is derived from it. Nothing here writes results.

``Index.open(path)`` is the way in; ``Index.rollouts(Query(...))`` lists, ``Index.transcript(rollout)`` reads one,
``summarise``, ``read_groups`` and ``compare`` compute. Text that a file holds is returned as it is: whoever shows it
escapes it (``escaping.visible`` for a terminal).
"""

from __future__ import annotations

from gymctl.results.comparison import Change, Comparison, Join, compare
from gymctl.results.groups import Group, GroupPage, GroupSort, read_groups
from gymctl.results.index import Index, Page, Rollout
from gymctl.results.query import DEFAULT_PASS_THRESHOLD, Outcome, Query, Sort
from gymctl.results.row import Rank
from gymctl.results.statistics import AgentStatistics, RunStatistics, summarise
from gymctl.results.transcript import Transcript, read_transcript

__all__ = [
    "DEFAULT_PASS_THRESHOLD",
    "AgentStatistics",
    "Change",
    "Comparison",
    "Group",
    "GroupPage",
    "GroupSort",
    "Index",
    "Join",
    "Outcome",
    "Page",
    "Query",
    "Rank",
    "Rollout",
    "RunStatistics",
    "Sort",
    "Transcript",
    "compare",
    "read_groups",
    "read_transcript",
    "summarise",
]
