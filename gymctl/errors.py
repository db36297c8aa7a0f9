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
from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable names of errors; ``docs/troubleshooting.md`` has the cause and the cure of each."""

    NO_ENTRYPOINT = "no-entrypoint"
    NO_VALUE = "no-value"
    UNSET_VARIABLE = "unset-variable"
    SERVER_FAILED = "server-failed"
    NO_SERVER_CODE = "no-server-code"
    PORT_IN_USE = "port-in-use"
    PORT_NOT_ALLOWED = "port-not-allowed"
    PORT_REPEATED = "port-repeated"
    STACK_NAME_IN_USE = "stack-name-in-use"
    FILE_NOT_OURS = "file-not-ours"
    NO_DOCKER = "no-docker"
    NO_DOCKER_ACCESS = "no-docker-access"
    TOO_OLD = "too-old"
    ENGINE_ELSEWHERE = "engine-elsewhere"
    BUILD_FAILED = "build-failed"
    BUILD_CONTEXT = "build-context"
    OUTPUT_IN_USE = "output-in-use"
    COLLECTION_RUNNING = "collection-running"
    NO_RUN_RECORD = "no-run-record"
    DISK_FULL = "disk-full"
    NO_STACK = "no-stack"
    RAY_VERSION = "ray-version"
    RAY_PYTHON = "ray-python"
    NO_RAY = "no-ray"
    NO_SWARM = "no-swarm"
    NOT_A_MANAGER = "not-a-manager"
    PUSH_FAILED = "push-failed"
    NO_TOKEN = "no-token"  # noqa: S105 - a name, not a token


class GymctlError(Exception):
    """An error with a next step: ``message`` describes the problem, ``hint`` the fix.

    ``error_code`` is for errors that the page about troubleshooting explains.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.error_code = code

    def with_code(self) -> str:
        """The text of the error with its code, if any, at the end of the first line."""
        return _with_code(str(self), self.error_code)

    def __str__(self) -> str:
        if self.hint:
            return f"{self.message}; {self.hint}"
        return self.message


def _with_code(text: str, code: ErrorCode | None) -> str:
    if code is None:
        return text
    first, *rest = text.split("\n")
    return "\n".join([f"{first} [{code}]", *rest])


class InputError(GymctlError):
    """The user's input is wrong: nothing was written, nothing was started."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One problem in a configuration: its place (``file:line``, or a phrase), description, and fix."""

    where: str
    message: str
    hint: str = ""
    code: ErrorCode | None = None

    def with_code(self) -> str:
        """The text of the problem with its code, if any, at the end of the first line."""
        return _with_code(str(self), self.code)

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

    def with_code(self) -> str:
        """The text of the error, each problem with its own code."""
        return "\n".join(problem.with_code() for problem in self.problems)


class EngineError(GymctlError):
    """An engine (Docker Compose, Swarm, local) could not do what was asked."""


class RunError(GymctlError):
    """A collection of rollouts could not go on."""
