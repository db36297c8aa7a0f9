"""Rules about what a container can use up, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

from gymctl.stack.audit.rule import Check, Rule, Severity, each, when
from gymctl.stack.audit.subject import AuditedContainer


def _unlimited(key: str, text: str) -> Check:
    """A check that a resource is limited."""
    return when(lambda container: key not in container.limits, text)


def _is_not_killable(container: AuditedContainer) -> bool:
    return not container.is_oom_killable


def _unbounded_memory_files(container: AuditedContainer) -> Iterator[str]:
    for mount in container.mounts:
        if mount.type == "tmpfs" and not mount.size:
            yield f"{mount.target} has no size"


def _has_no_logs(container: AuditedContainer) -> bool:
    return container.log_driver == "none"


def _is_not_checked(container: AuditedContainer) -> bool:
    return not (container.has_healthcheck or container.completes)


def _has_no_init(container: AuditedContainer) -> bool:
    return not container.has_init


def _always_restarts(container: AuditedContainer) -> bool:
    return container.restart == "always"


LIMIT_RULES = (
    Rule(
        id="memory",
        severity=Severity.HIGH,
        title="a container can use all memory of the machine",
        cure="resources: {memory: 8gb}",
        check=_unlimited("memory", "no memory limit"),
        docker_bench="5.11",
    ),
    Rule(
        id="processes",
        severity=Severity.HIGH,
        title="a container can use up the machine's processes",
        cure="deploy: {resources: {limits: {pids: 1024}}}",
        check=_unlimited("pids", "no limit on processes"),
        docker_bench="5.29",
    ),
    Rule(
        id="oom-killer",
        severity=Severity.MEDIUM,
        title="the machine cannot stop a container that uses too much memory",
        cure="remove oom_kill_disable and a negative oom_score_adj",
        check=when(_is_not_killable, "the kernel does not stop it when memory is short"),
    ),
    Rule(
        id="memory-files",
        severity=Severity.MEDIUM,
        title="a file system in memory has no size limit",
        cure="tmpfs: ['/tmp:size=256m']",
        check=each(_unbounded_memory_files),
    ),
    Rule(
        id="log-size",
        severity=Severity.MEDIUM,
        title="the log of a container can fill the disk",
        cure="logging: {driver: json-file, options: {max-size: 20m, max-file: '5'}}",
        check=_unlimited("logs", "no max-size"),
    ),
    Rule(
        id="cpus",
        severity=Severity.LOW,
        title="a container has neither a CPU limit nor a CPU weight",
        cure="resources: {cpus: 4}",
        check=_unlimited("cpus", "no CPU limit and no cpu_shares"),
        docker_bench="5.12",
    ),
    Rule(
        id="open-files",
        severity=Severity.LOW,
        title="a container has the daemon's limit on open files",
        cure="ulimits: {nofile: 65535}",
        check=_unlimited("nofile", "no limit on open files"),
        docker_bench="5.19",
    ),
    Rule(
        id="no-logs",
        severity=Severity.LOW,
        title="the output of a container is discarded",
        cure="logging: {driver: json-file, options: {max-size: 20m}}",
        check=when(_has_no_logs, "logging: {driver: none}"),
    ),
    Rule(
        id="healthcheck",
        severity=Severity.LOW,
        title="a container that does not answer is not noticed",
        cure="healthcheck: {test: [CMD, test, -e, /tmp/gymctl-ready]}",
        check=when(_is_not_checked, "no healthcheck"),
        docker_bench="5.27",
    ),
    Rule(
        id="init",
        severity=Severity.LOW,
        title="zombie processes in a container are not reaped",
        cure="init: true",
        check=when(_has_no_init, "init is not set"),
    ),
    Rule(
        id="restart-always",
        severity=Severity.LOW,
        title="a container starts again after an operator has stopped it",
        cure="restart: unless-stopped",
        check=when(_always_restarts, "restart: always"),
    ),
)
