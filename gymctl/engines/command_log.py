"""The commands that are run, for ``--verbose``."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence

log = logging.getLogger(__name__)


def logged(argv: Sequence[str]) -> list[str]:
    """The command, after logging it as a shell would take it. Secrets are never in an argument list."""
    log.debug("run: %s", shlex.join(argv))
    return list(argv)
