"""Rules about what a container can use up, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

from gymctl.stack.audit.rule import Rule, Severity, each
from gymctl.stack.audit.subject import AuditedContainer


def _limit(key: str, text: str) -> Callable[[AuditedContainer], str]:
    """A check that a resource is limited."""

    def check(container: AuditedContainer) -> str:
        return "" if key in container.limits else text

    return check


def _oom_killable(container: AuditedContainer) -> str:
    return "" if container.is_oom_killable else "the kernel does not stop it when memory is short"


def _unbounded_memory_files(container: AuditedContainer) -> str:
    unbounded = [item.target for item in container.mounts if item.type == "tmpfs" and not item.size]
    return f"{unbounded[0]} has no size" if unbounded else ""


def _log_driver(container: AuditedContainer) -> str:
    return "logging: {driver: none}" if container.log_driver == "none" else ""


def _healthcheck(container: AuditedContainer) -> str:
    return "" if container.has_healthcheck or container.completes else "no healthcheck"


def _init(container: AuditedContainer) -> str:
    return "" if container.has_init else "init is not set"


def _restart(container: AuditedContainer) -> str:
    return "restart: always" if container.restart == "always" else ""


LIMIT_RULES = (
    Rule(
        id="memory",
        severity=Severity.HIGH,
        title="a container can use all memory of the machine",
        cure="resources: {memory: 8gb}",
        check=each(_limit("memory", "no limit of memory")),
        docker_bench="5.11",
    ),
    Rule(
        id="processes",
        severity=Severity.HIGH,
        title="a container can use up the machine's processes",
        cure="deploy: {resources: {limits: {pids: 1024}}}",
        check=each(_limit("pids", "no limit of processes")),
        docker_bench="5.29",
    ),
    Rule(
        id="oom-killer",
        severity=Severity.MEDIUM,
        title="the machine cannot stop a container that uses too much memory",
        cure="remove oom_kill_disable and a negative oom_score_adj",
        check=each(_oom_killable),
    ),
    Rule(
        id="memory-files",
        severity=Severity.MEDIUM,
        title="a file system in memory has no size",
        cure="tmpfs: ['/tmp:size=256m']",
        check=each(_unbounded_memory_files),
    ),
    Rule(
        id="log-size",
        severity=Severity.MEDIUM,
        title="the log of a container can fill the disk",
        cure="logging: {driver: json-file, options: {max-size: 20m, max-file: '5'}}",
        check=each(_limit("logs", "no max-size")),
    ),
    Rule(
        id="cpus",
        severity=Severity.LOW,
        title="a container can use all processors, in equal shares with the others",
        cure="resources: {cpus: 4}",
        check=each(_limit("cpus", "no limit of CPUs")),
        docker_bench="5.12",
    ),
    Rule(
        id="open-files",
        severity=Severity.LOW,
        title="a container has the daemon's limit of open files",
        cure="ulimits: {nofile: 65535}",
        check=each(_limit("nofile", "no limit of open files")),
        docker_bench="5.19",
    ),
    Rule(
        id="no-logs",
        severity=Severity.LOW,
        title="what a container prints is lost",
        cure="logging: {driver: json-file, options: {max-size: 20m}}",
        check=each(_log_driver),
    ),
    Rule(
        id="healthcheck",
        severity=Severity.LOW,
        title="a container that does not answer is not noticed",
        cure="healthcheck: {test: [CMD, test, -e, /tmp/gymctl-ready]}",
        check=each(_healthcheck),
        docker_bench="5.27",
    ),
    Rule(
        id="init",
        severity=Severity.LOW,
        title="processes that end in a container are not cleared away",
        cure="init: true",
        check=each(_init),
    ),
    Rule(
        id="restart-always",
        severity=Severity.LOW,
        title="a container starts again after an operator has stopped it",
        cure="restart: unless-stopped",
        check=each(_restart),
        docker_bench="5.15",
    ),
)
