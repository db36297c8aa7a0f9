"""The shape of a rule of the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from gymctl.stack.audit.subject import AuditedContainer, AuditedStack


class Severity(StrEnum):
    """What a finding means; each takes points from the score of 100."""

    CRITICAL = "critical"
    """The machine or a key is open to code in a container, or to the network."""
    HIGH = "high"
    """A protection that is relied on is missing."""
    MEDIUM = "medium"
    """One of several protections is missing."""
    LOW = "low"
    """Good practice."""

    @property
    def points(self) -> int:
        """How much a rule with findings takes from the score, however many containers it concerns."""
        return _POINTS[self]


_POINTS = {Severity.CRITICAL: 40, Severity.HIGH: 15, Severity.MEDIUM: 4, Severity.LOW: 1}


@dataclass(frozen=True)
class Evidence:
    """Where a rule is broken, and by what."""

    subject: str
    """A service, a network or a secret; empty: the stack."""
    text: str


Check = Callable[[AuditedStack], Iterable[Evidence]]


@dataclass(frozen=True)
class Rule:
    """One thing that an audit looks for."""

    id: str
    severity: Severity
    title: str
    """What is wrong where it is broken."""
    cure: str
    """The line that cures it, or what to do where no line does."""
    check: Check
    docker_bench: str = ""
    """The check of docker-bench-security 1.6.0 about the same thing."""


def each(find: Callable[[AuditedContainer], Iterable[str]]) -> Check:
    """A check of every container; ``find`` gives the evidence that one breaks a rule, a text each."""
    return partial(_evidence, find)


def when(is_broken: Callable[[AuditedContainer], bool], text: str) -> Check:
    """A check of every container that breaks a rule in one way, with ``text`` as its evidence."""
    return partial(_flagged, is_broken, text)


def _evidence(find: Callable[[AuditedContainer], Iterable[str]], stack: AuditedStack) -> Iterator[Evidence]:
    for container in stack.containers:
        for text in find(container):
            yield Evidence(container.service, text)


def _flagged(is_broken: Callable[[AuditedContainer], bool], text: str, stack: AuditedStack) -> Iterator[Evidence]:
    for container in stack.containers:
        if is_broken(container):
            yield Evidence(container.service, text)
