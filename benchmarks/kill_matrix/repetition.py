"""One repetition of a kind: sessions of a collector, struck and resumed until nothing is left to do.

``python -m benchmarks.kill_matrix.repetition KIND SEED...`` prints an outcome per seed, as a line of JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.kill_matrix.fleet import Fleet
from benchmarks.kill_matrix.kinds import KINDS, Kind
from benchmarks.kill_matrix.scene import CONCURRENCY, Scene
from benchmarks.kill_matrix.verdict import Outcome, Witness


def repeat(kind: Kind, seeds: list[int]) -> Iterator[Outcome]:
    """A repetition per seed, all with the same servers; files of one that went wrong are kept."""
    folder = Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    fleet = Fleet(folder, seeds[0], relayed=kind.relayed)
    wrong = False
    try:
        for seed in seeds:
            fleet.heal()
            place = folder / f"seed-{seed}"
            place.mkdir()
            outcome = once(kind, seed, fleet, place)
            if outcome.violations:
                wrong = True
                outcome.saved_in = str(place)
            yield outcome
    finally:
        fleet.close()
        if not wrong:
            shutil.rmtree(folder, ignore_errors=True)


def once(kind: Kind, seed: int, fleet: Fleet, folder: Path) -> Outcome:
    """Strike and resume until the run is over."""
    began = time.monotonic()
    scene = Scene(fleet, folder, f"run-{seed}", random.Random(f"{kind.name} {seed}"))
    outcome = Outcome(kind.name, seed)
    witness = Witness(scene)
    try:
        kind.prepare(scene)
        _sessions(kind, scene, outcome, witness)
    finally:
        outcome.strikes = scene.strikes
        outcome.violations = witness.violations
        outcome.seconds = time.monotonic() - began
        if witness.violations:
            _keep(scene)
        scene.close()
    return outcome


def _sessions(kind: Kind, scene: Scene, outcome: Outcome, witness: Witness) -> None:
    for scene.session in range(kind.sessions):
        outcome.sessions += 1
        collector = scene.collect()
        kind.strike(scene, collector)
        code = collector.wait(scene.seconds)
        output = collector.output
        witness.after_session(code, output)
        if code is None:
            collector.kill()
            return
        killed = code is not None and code < 0 and code in kind.ends  # maybe after its last word
        if output.report is not None and not output.report.unfinished and not killed:
            if code != (1 if output.report.failed else 0):
                witness.violations.append(f"exit code {code} with {output.report.failed} failures")
            outcome.bound = scene.breaks
            witness.at_end(outcome, output)
            return
        if code == 1:  # it gave up, or the disk was full: what was in flight is cut off
            scene.breaks += CONCURRENCY
        if code not in kind.ends:
            witness.violations.append(
                f"session {scene.session} ended with code {code}: {output.crash or output.report}"
            )
    witness.violations.append(f"not over after {kind.sessions} sessions")


def _keep(scene: Scene) -> None:
    """Copy what is on a small disk before it goes away."""
    if scene.at_end:
        shutil.copytree(scene.output.parent, scene.folder / "kept", dirs_exist_ok=True)


def main() -> None:
    """Repeat the kind of the first argument."""
    kind = next(kind for kind in KINDS if kind.name == sys.argv[1])
    for outcome in repeat(kind, [int(seed) for seed in sys.argv[2:]]):
        print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
