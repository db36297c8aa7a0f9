"""The rollouts still to do, read one by one from the materialised inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from gymctl.config.rows.row_fields import AGENT_REF, ENVIRONMENT_SERVER, ROLLOUT_INDEX, TASK_INDEX, TASK_SOURCE
from gymctl.errors import RunError
from gymctl.rollouts.history import History, Key, Tries

if TYPE_CHECKING:
    from gymctl.rollouts.tracing import RolloutTrace

_FEWER = 8


@dataclass(slots=True)
class Pending:
    """One rollout to do: where its row is in the file, and what has been tried; ``row`` only while in hand."""

    offset: int
    size: int
    task: int
    repeat: int
    agent_ref: dict[str, Any]
    tries: Tries = field(default_factory=Tries)
    earlier_refusals: int = 0
    """Refusals of earlier sessions."""
    doubts: int = 0
    """Failures that would be final, but for the doubt whether the row or the whole agent was at fault."""
    row: bytes | None = None
    task_source: str | None = None
    """The server that declares the row's data set."""
    environment_server: str | None = None
    """The environment server that is called in the agent's place."""
    trace: RolloutTrace | None = None
    """Its trace, where rollouts are traced."""

    @property
    def server(self) -> str:
        """Name of the server that is called."""
        return self.environment_server or self.agent

    @property
    def agent(self) -> str:
        """Name of its agent."""
        name: str = self.agent_ref["name"]
        return name

    @property
    def key(self) -> Key:
        """Its (task, repeat)."""
        return self.task, self.repeat

    @property
    def identity(self) -> dict[str, Any]:
        """The fields of a result that say which rollout it is of."""
        identity: dict[str, Any] = {TASK_INDEX: self.task, ROLLOUT_INDEX: self.repeat, AGENT_REF: self.agent_ref}
        if self.task_source is not None:
            identity[TASK_SOURCE] = self.task_source
        if self.environment_server is not None:
            identity[ENVIRONMENT_SERVER] = self.environment_server
        return identity

    def repeated(self) -> Pending:
        """The same rollout, to be done once more without its row and its trace."""
        return replace(self, row=None, trace=None)


def by_company(batch: Iterable[Pending], most: int) -> list[tuple[int, list[Pending]]]:
    """How many rollouts may be in flight, and which: those suspected of crashing a server come last, and alone.

    ``most`` is how many were in flight; a rollout whose server ended again has an eighth of them beside it each time.
    """
    groups: dict[int, list[Pending]] = {}
    for pending in batch:
        fewer = _FEWER ** max(0, pending.tries.crashes - 1)
        groups.setdefault(max(1, most // fewer), []).append(pending)
    return sorted(groups.items(), reverse=True)


class _RowHead(msgspec.Struct):
    task: int = msgspec.field(name=TASK_INDEX)
    repeat: int = msgspec.field(name=ROLLOUT_INDEX)
    agent_ref: dict[str, Any] = msgspec.field(name=AGENT_REF)
    task_source: str | None = msgspec.field(name=TASK_SOURCE, default=None)
    environment_server: str | None = msgspec.field(name=ENVIRONMENT_SERVER, default=None)


class Rows:
    """The materialised rows of a run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(_RowHead)
        self._file: BinaryIO = path.open("rb")

    def pending(self, history: History) -> Iterator[Pending]:
        """What is neither done nor failed for good, in the input's order.

        Raises:
            RunError: the file was changed by someone else.
        """
        for pending in self._all():
            if pending.key not in history.done and pending.key not in history.failed:
                pending.tries = history.tries.get(pending.key, pending.tries)
                pending.earlier_refusals = pending.tries.refusals
                yield pending

    def first_done(self, agent: str, history: History) -> Pending | None:
        """A rollout of the agent that an earlier session has finished, if there is one; raises as ``pending``."""
        pending = (item for item in self._all() if item.agent == agent and item.key in history.done)
        return next(pending, None)

    def all_keys(self) -> Iterator[Key]:
        """The (task, repeat) of every row, in order; raises as ``pending``."""
        return (pending.key for pending in self._all())

    def _all(self) -> Iterator[Pending]:
        offset = 0
        with self._path.open("rb", buffering=1 << 20) as lines:
            for line in lines:
                try:
                    head = self._decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise RunError(f"{self._path} was changed during the run: {error}", "start a new run") from error
                yield Pending(
                    offset=offset,
                    size=len(line) - 1,
                    task=head.task,
                    repeat=head.repeat,
                    agent_ref=head.agent_ref,
                    row=line[:-1],
                    task_source=head.task_source,
                    environment_server=head.environment_server,
                )
                offset += len(line)

    def body(self, pending: Pending) -> bytes:
        """The row as it is sent."""
        if pending.row is not None:
            return pending.row
        self._file.seek(pending.offset)
        row = self._file.read(pending.size)
        if len(row) < pending.size:
            raise RunError(f"{self._path} was truncated by another program", "continue with --resume")
        return row

    def close(self) -> None:
        """Close the file."""
        self._file.close()
