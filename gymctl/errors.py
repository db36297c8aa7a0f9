"""The exception tree. Every error a user meets is one of these.

GymctlError            something the user can act on; exit code 1
├── InputError         what the user wrote is wrong; exit code 2
│   └── ConfigError    one or more located problems in YAML or overrides
├── EngineError        Docker, Compose or the local engine could not do it
├── RefusedError       a request to a server that cannot be answered as it stands (gymctl.server.message)
└── RunError           a collection could not go on (disk full, nothing answers)
    └── HopFailed      a call from one server to another failed (gymctl.server.calls.client)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GymctlError(Exception):
    """An error with a next step in it: ``message`` says what is wrong, ``hint`` what would be right."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if self.hint:
            return f"{self.message}; {self.hint}"
        return self.message


class InputError(GymctlError):
    """The user's input is wrong: nothing was written, nothing was started."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration: where (``file:line``, or a phrase), what, and what would be right."""

    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        if self.where:
            text = f"{self.where}: {self.message}"
        else:
            text = self.message
        if self.hint:
            return f"{text}; {self.hint}"
        return text


class ConfigError(InputError):
    """All problems found in a configuration, each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class EngineError(GymctlError):
    """An engine (Docker Compose, Swarm, local) could not do what was asked."""


class RunError(GymctlError):
    """A collection of rollouts could not go on."""
