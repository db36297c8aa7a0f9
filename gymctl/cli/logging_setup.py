"""What gymctl itself logs: ``--verbose``, or the variable ``GYMCTL_LOG_LEVEL``."""

from __future__ import annotations

import logging
import os


def log_to_terminal(level: int) -> None:
    """Print gymctl's own log records of at least ``level`` on standard error."""
    from gymctl.server.run.log_lines import log_to_stderr

    log_to_stderr(logging.WARNING)  # other libraries': only what is wrong
    logging.getLogger("gymctl").setLevel(level)


def log_as_environment_says() -> None:
    """Obey ``GYMCTL_LOG_LEVEL`` when it is set.

    Raises:
        InputError: it is not a level.
    """
    from gymctl.server.run.log_level import LEVEL_VARIABLE, log_level

    if os.environ.get(LEVEL_VARIABLE):
        log_to_terminal(log_level(os.environ))
