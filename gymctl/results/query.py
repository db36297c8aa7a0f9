"""Which rollouts, in which order: a query, and the SQL that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gymctl.results import tool_names
from gymctl.results.choices import Outcome, Sort
from gymctl.results.row import Rank

DEFAULT_PASS_THRESHOLD = 1.0


# The reward of a masked result is not a measurement.
REWARD = "CASE WHEN failure_class IS NULL THEN reward END"
# In and out together; a result without usage has none.
TOKENS = "coalesce(tokens_in, 0) + tokens_out"
# Of ``descending``.
DIRECTION = {False: "ASC", True: "DESC"}
_ORDER = {
    Sort.FILE: "file {0}, offset {0}",
    Sort.TASK: "task IS NULL, task {0}, repeat {0}",
    Sort.AGENT: "agent {0}, task, repeat",
    Sort.REWARD: f"{REWARD} IS NULL, {REWARD} {{0}}, task, repeat",
    Sort.TOKENS: f"tokens_out IS NULL, {TOKENS} {{0}}, task, repeat",
    Sort.TIME: "total_ms IS NULL, total_ms {0}, task, repeat",
    Sort.TOOL_CALLS: "tool_calls {0}, task, repeat",
    Sort.TURNS: "turns {0}, task, repeat",
}


@dataclass(frozen=True, kw_only=True)
class Query:
    """Filters, all of which must hold, an order and a page. The defaults are every rollout, in the file's order."""

    agents: tuple[str, ...] = ()
    tasks: tuple[int, ...] = ()
    repeats: tuple[int, ...] = ()
    outcome: Outcome | None = None
    pass_threshold: float = DEFAULT_PASS_THRESHOLD
    min_reward: float | None = None
    max_reward: float | None = None
    failure_classes: tuple[str, ...] = ()
    failure_hops: tuple[str, ...] = ()
    """Failed rollouts whose failing call went to one of these servers."""
    ids: tuple[int, ...] = ()
    """Rows with these ids, at most 1,000."""
    tools: tuple[str, ...] = ()
    """Rollouts that called one of these."""
    truncated: bool | None = None
    tool_errors: bool | None = None
    """Whether a tool call failed in the rollout."""
    min_tokens: int | None = None
    """Tokens in and out together."""
    max_tokens: int | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    text: str = ""
    """Rollouts whose line in the file contains this text."""
    ignore_case: bool = False
    """For ``text``: ASCII letters of either case match."""
    attempts: bool = False
    """Also rows that do not count: attempts before the last one, and repeated results."""
    sort: Sort = Sort.FILE
    descending: bool = False
    offset: int = 0
    limit: int = -1
    """-1: all."""

    def order(self) -> str:
        """The ORDER BY clause; rollouts without the value come last. Equal ones are in the file's order."""
        return f"ORDER BY {_ORDER[self.sort].format(DIRECTION[self.descending])}, file, offset"

    def where(self) -> tuple[str, list[object]]:
        """The WHERE clause and its parameters; for ``text``, the index has put the ids into ``temp.found``."""
        clauses: list[str] = []
        parameters: list[object] = []
        for clause, values in self._conditions():
            clauses.append(clause)
            parameters.extend(values)
        if self.text:
            clauses.append("id IN (SELECT id FROM temp.found)")
        return "WHERE " + " AND ".join(clauses or ["1"]), parameters

    def _conditions(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        if not self.attempts:
            yield "current = 1", ()
        yield from self._choices()
        yield from self._bounds()
        yield from self._flags()

    def _choices(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for column, values in (
            ("agent", self.agents),
            ("task", self.tasks),
            ("repeat", self.repeats),
            ("failure_class", self.failure_classes),
            ("failure_hop", self.failure_hops),
            ("id", self.ids),
        ):
            if values:
                yield f"{column} IN ({_marks(len(values))})", tuple(values)
        if self.tools:
            called = " OR ".join(["instr(tools, ?)"] * len(self.tools))
            yield f"({called})", tuple(tool_names.encode((name,)) for name in self.tools)

    def _bounds(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for expression, comparison, value in (
            (REWARD, ">=", self.min_reward),
            (REWARD, "<=", self.max_reward),
            (TOKENS, ">=", self.min_tokens),
            (TOKENS, "<=", self.max_tokens),
            ("total_ms", ">=", self.min_ms),
            ("total_ms", "<=", self.max_ms),
        ):
            if value is not None:
                yield f"{expression} {comparison} ?", (value,)

    def _flags(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        if self.truncated is not None:
            yield "truncated = ?", (self.truncated,)
        if self.tool_errors is not None:
            yield "(tool_errors > 0) = ?", (self.tool_errors,)
        if self.outcome is Outcome.FAILED:
            yield "rank = ?", (int(Rank.FAILURE),)
        elif self.outcome is Outcome.MASKED:
            yield "rank = ?", (int(Rank.MASKED),)
        elif self.outcome is Outcome.PASSED:
            yield "failure_class IS NULL AND reward >= ?", (self.pass_threshold,)
        elif self.outcome is Outcome.NOT_PASSED:
            yield "failure_class IS NULL AND reward < ?", (self.pass_threshold,)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
