"""A resume that is forced over other inputs: earlier results are found by their rows, not by their position.

The rows of the earlier session are in its materialised file. A result whose row is in the new inputs gets the indices
that the row has there; any other is moved to a file of its own, so that it is counted for no row but its own.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import orjson

from gymctl.config.rows.row_fields import PARAMS, ROLLOUT_INDEX, TASK_INDEX
from gymctl.rollouts.files import replacing
from gymctl.rollouts.history import FailureHead, Key, ResultHead, lines_of
from gymctl.rollouts.spec import RunFiles

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
Digests = dict[Key, bytes]


def row_digests(materialized: Path, overridden: Collection[str]) -> Digests:
    """A digest of each rollout's row: all fields but its indices and the params that are overridden (16 bytes each)."""
    digests: Digests = {}
    with materialized.open("rb", buffering=1 << 20) as lines:
        for line in lines:
            try:
                fields = {name: bytes(value) for name, value in _fields.decode(line).items()}
                key = (int(fields.pop(TASK_INDEX)), int(fields.pop(ROLLOUT_INDEX)))
                params = {name: bytes(value) for name, value in _fields.decode(fields.pop(PARAMS)).items()}
            except (msgspec.MsgspecError, KeyError, ValueError):
                continue
            own_params = sorted(item for item in params.items() if item[0] not in overridden)
            digests[key] = hashlib.blake2b(repr((sorted(fields.items()), own_params)).encode(), digest_size=16).digest()
    return digests


def new_keys(before: Digests, after: Digests) -> dict[Key, Key]:
    """Where each rollout of ``before`` is in ``after``: repeats of a row in their order."""
    places: dict[bytes, deque[Key]] = defaultdict(deque)
    for key, digest in after.items():
        places[digest].append(key)
    for key, digest in before.items():  # what has kept its place keeps it, whatever else is the same
        if after.get(key) == digest:
            places[digest].remove(key)
    moved: dict[Key, Key] = {}
    for key, digest in before.items():
        if after.get(key) == digest:
            moved[key] = key
        elif places[digest]:
            moved[key] = places[digest].popleft()
    return moved


def rematch(files: RunFiles, before: Digests, after: Digests) -> list[str]:
    """Give every result and failure the indices of its row in the new inputs; returns notes on what was moved."""
    keys = new_keys(before, after)
    # what is of neither has no indices that a row of the new inputs has: it stays, and is not counted
    keys.update({key: key for key in before if key not in keys and key not in after})
    if all(keys.get(key) == key for key in before):
        return []
    aside = files.output.with_name(f"{files.output.stem}.unmatched{files.output.suffix}")
    counts = {True: 0, False: 0}
    with replacing(files.output) as out, aside.open("ab") as others:
        for line, head in lines_of(files.output, ResultHead):
            if head is not None:
                counts[_put(line, head.key, keys, out, others)] += 1
    if files.failures.exists():
        with replacing(files.failures) as out:
            for line, failure in lines_of(files.failures, FailureHead):
                if failure is not None:
                    _put(line, failure.key, keys, out, None)
    if not counts[False]:
        aside.unlink()
        return [f"the inputs have changed: {counts[True]} earlier results were matched by their rows"]
    text = f"{counts[True]} earlier results were matched by their rows; {counts[False]} match no row: moved to {aside}"
    return [f"the inputs have changed: {text}"]


def _put(line: bytes, key: Key, keys: dict[Key, Key], out: BinaryIO, others: BinaryIO | None) -> bool:
    """Write a line with its new indices, or unchanged to ``others`` if its row is missing. Returns if it matched."""
    new = keys.get(key)
    if new is None:
        if others is not None:
            others.write(line)
        return False
    out.write(line if new == key else b"".join(_with_key(line, new)))
    return True


def _with_key(line: bytes, key: Key) -> Iterator[bytes]:
    indices = dict(zip((TASK_INDEX, ROLLOUT_INDEX), key, strict=True))
    for position, (name, value) in enumerate(_fields.decode(line).items()):
        yield b"," if position else b"{"
        yield orjson.dumps(name) + b":"
        yield str(indices[name]).encode() if name in indices else bytes(value)
    yield b"}\n"
