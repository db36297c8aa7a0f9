"""``depends_on`` as a wait in the container, because Swarm starts everything at once.

Swarm gives a task its name in the network's DNS only once it is healthy (without a health check: once it runs). So a
name that resolves is a server that is healthy, and asking for it takes ``getent``, which every image with a libc has.
The wait is bounded by the waiting service's own health check: a task that never gets well is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gymctl.stack.compose.model import ComposeDocument, Dependency, Service
from gymctl.stack.swarm.report import TranslationReport

_SCRIPT = (
    'for name in {names}; do until getent hosts "$name" >/dev/null; '
    'do echo "waiting for $name" >&2; sleep 1; done; done; exec "$@"'
)


def left_out(document: ComposeDocument, report: Callable[[str], TranslationReport]) -> set[str]:
    """The services that a swarm does without: those of a profile, and those whose end others wait for."""
    absent = set()
    for name, service in document.services.items():
        if service.profiles:
            absent.add(name)
            detail = f"left out: it is in profile {', '.join(service.profiles)}, and Swarm has no profiles"
            report(name).lost("profiles", detail)
        for other, dependency in (service.depends_on or {}).items():
            if dependency.condition == "service_completed_successfully" and other not in absent:
                absent.add(other)
                detail = f"left out: Swarm cannot wait until it has finished; {name} runs without its preparation"
                report(other).lost("depends_on", detail)
    return absent


def wait_for_dependencies(service: Service, absent: Collection[str], report: TranslationReport) -> dict[str, list[str]]:
    """The ``entrypoint`` or ``command`` that first waits for what the service depends on; ``absent`` are left out.

    A service without either runs its image's own command, which is unknown here: it cannot be made to wait.
    """
    dependencies = service.depends_on or {}
    if not dependencies:
        return {}
    names = [name for name, dependency in dependencies.items() if _can_wait(name, dependency, absent, report)]
    if not names:
        return {}
    wait = ["sh", "-c", _SCRIPT.format(names=" ".join(names)), "wait"]
    listed = ", ".join(names)
    if service.entrypoint:
        report.translated(
            "depends_on", f"its entrypoint waits until {listed} is in the network's DNS, which is: healthy"
        )
        return {"entrypoint": [*wait, *service.entrypoint]}
    if service.command and _runs_its_command(service):
        report.translated("depends_on", f"its command waits until {listed} is in the network's DNS, which is: healthy")
        return {"command": [*wait, *service.command]}
    report.lost(
        "depends_on",
        f"it starts without waiting for {listed} and is restarted until it succeeds; "
        "set an `entrypoint` to have it wait",
    )
    return {}


def _can_wait(name: str, dependency: Dependency, absent: Collection[str], report: TranslationReport) -> bool:
    if name in absent:
        report.lost("depends_on", f"it does not wait for {name}, which is left out")
        return False
    if dependency.restart:
        report.lost("depends_on", f"it is not restarted with {name}")
    return True


def _runs_its_command(service: Service) -> bool:
    """Whether the image's entrypoint ends by running the command, as a server's and every image built here does."""
    return "NEMO_GYM_CONFIG_PATH" in (service.environment or {}) or service.pull_policy == "never"
