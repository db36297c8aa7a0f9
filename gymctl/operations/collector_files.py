"""The files of a collection in a container: what it mounts, and how its messages name them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.engines.protocol import JobMount

if TYPE_CHECKING:
    from gymctl.rollouts.spec import RunSpec

TOKENS_IN_CONTAINER = "/run/gymctl-tokens"
"""Where a collector finds the tokens of the stack's servers."""


def collector_mounts(spec: RunSpec, rows: Path, tokens: str) -> Iterator[JobMount]:
    """The output's folder, and the input where it is elsewhere; inside they have the paths that they have here.

    ``rows`` is the file in the input's place, where the container could not read that one. ``tokens`` is the file with
    the tokens of the stack's servers; empty: there is none.
    """
    folder = spec.output.parent
    yield JobMount(folder, str(folder), read_only=False)
    if spec.input.parent != folder or rows != spec.input:
        yield JobMount(rows, str(spec.input))
    if tokens:
        yield JobMount(Path(tokens), TOKENS_IN_CONTAINER)


def with_requested_paths(line: str, spec: RunSpec, inside: RunSpec) -> str:
    """A line of the job with the two paths as the user wrote them."""
    for requested, resolved in ((spec.output, inside.output), (spec.input, inside.input)):
        before, after = (json.dumps(str(path.with_suffix("")))[1:-1] for path in (resolved, requested))
        line = line.replace(before, after)
    return line
