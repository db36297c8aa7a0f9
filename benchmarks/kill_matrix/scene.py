"""Where a repetition takes place: its servers, its collector, its dice, and notes of what was done to them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kill_matrix.collecting import Collector
from benchmarks.kill_matrix.fleet import AGENT, Fleet
from gymctl.rollouts.container_job import CollectionJob
from gymctl.rollouts.spec import RunSpec

CONCURRENCY = 24
BOXES_EACH_RUN = 80
REPEATS = 3


@dataclass
class Scene:
    """One repetition. ``session`` counts the collector's starts, from 0."""

    fleet: Fleet
    folder: Path
    run: str
    dice: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    session: int = 0
    strikes: list[str] = field(default_factory=list)
    breaks: int = 0
    largest_file: int | None = None
    seconds: float = 150.0
    at_end: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output = self.folder / "output" / "rollouts.jsonl"
        self.output.parent.mkdir()
        rows = "".join(json.dumps(self._row(number)) + "\n" for number in range(BOXES_EACH_RUN))
        (self.folder / "rows.jsonl").write_text(rows)

    def _row(self, number: int) -> dict[str, Any]:
        tool = {"type": "function", "name": "open_box", "strict": True, "description": "Open the box."}
        nothing = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        return {
            "responses_create_params": {
                "input": [{"role": "user", "content": f"What is in box {number}?"}],
                "tools": [{**tool, "parameters": nothing}],
            },
            "number": number,
            "run": self.run,
        }

    @property
    def spec(self) -> RunSpec:
        """What the collector is asked for."""
        return RunSpec(
            self.folder / "rows.jsonl",
            self.output,
            **{"agent": AGENT, "num_repeats": REPEATS, "concurrency": CONCURRENCY, "resume": True, **self.options},
        )

    def collect(self) -> Collector:
        """Start the collector."""
        job = CollectionJob(self.spec, {AGENT: self.fleet.url(AGENT)})
        return Collector(job, self.folder / "collector.log", self.largest_file if self.session == 0 else None)

    def rest(self, least: float, most: float) -> None:
        """Let a random time pass, in seconds."""
        time.sleep(self.dice.uniform(least, most))

    def rest_amid(self, collector: Collector) -> None:
        """Let a random part of the run's rollouts pass, and a random moment: a blow then meets some in flight."""
        collector.wait_until_done(self.dice.uniform(0.0, 0.7))
        self.rest(0.0, 0.1)

    def struck(self, blow: str, breaks: int = CONCURRENCY) -> None:
        """Note a blow, and how many rollouts it may have broken at most."""
        self.strikes.append(blow)
        self.breaks += breaks

    def close(self) -> None:
        """Undo what was set up."""
        for undo in self.at_end:
            undo()
