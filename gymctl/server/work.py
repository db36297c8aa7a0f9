"""The former name of ``gymctl.server.checks.runner``, kept for one release."""

from gymctl.server.checks.runner import CheckFailed, Done, Place, Work

__all__ = ["CheckFailed", "Done", "Place", "Work"]
