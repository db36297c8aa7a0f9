"""Whether a Ray cluster of the user's can do a stack's checks: asked from a container, before any server is started.

A server would find out at its first check (NeMo Gym's at its start, for minutes), with an error per rollout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from gymctl.engines.runner import CommandFailed, run
from gymctl.errors import ConfigError, ErrorCode, Problem
from gymctl.stack import RayCheck

_PROBE = Path(__file__).with_name("ray_probe.py")
_PATIENCE_S = 150.0  # the cluster starts a process for each client, which takes half a minute where it is busy
_REMOVAL_S = 30.0
_HINT_PORT = "the Ray client port is 10001 unless set with `ray start --ray-client-server-port`"
_OLDEST = (3, 11)  # Python, that gymctl's servers run on


def check_clusters(checks: Iterable[RayCheck]) -> None:
    """See that every image that will use a cluster reaches it, and has its Ray and Python. Takes seconds for each.

    Raises:
        ConfigError: no cluster answers there, or one of another version.
    """
    problems = [problem for check in checks for problem in cluster_problems(check, _look(check))]
    if problems:
        raise ConfigError(problems)


def cluster_problems(check: RayCheck, report: Mapping[str, Any]) -> Iterator[Problem]:
    """What keeps ``check.servers`` from using the cluster; ``report`` is what ``ray_probe`` printed."""
    where = str(check.location or "")
    users = ", ".join(check.servers)
    error = report.get("error", "")
    if report.get("failed") == "connect":
        hint = (
            "check that it is running and listens on an address that containers can reach, not only "
            f"127.0.0.1; {_HINT_PORT}"
        )
        problem = f"{users}: no Ray cluster at {check.written_address}: {error} (checked from a container)"
        yield Problem(where, problem, hint, ErrorCode.NO_RAY)
    elif report.get("failed"):
        hint = f"{_HINT_PORT} (6379 is for its nodes); the cluster's logs are in /tmp/ray/session_latest/logs"
        own = report.get("own", {}).get("ray", "")
        problem = (
            f"the server at {check.written_address} does not answer like a cluster of Ray {own}: {_first_line(error)}"
        )
        yield Problem(where, f"{users}: {problem}", hint)
    else:
        own = report["own"]
        theirs = report["theirs"]
        if own["ray"] != theirs["ray"]:
            problem = f"{users}: the cluster at {check.written_address} has Ray {theirs['ray']}"
            problem += f", but the image {check.image} has Ray {own['ray']}"
            yield Problem(where, problem, _ray_hint(check, theirs["ray"], own["ray"]), ErrorCode.RAY_VERSION)
        if _minor(own["python"]) != _minor(theirs["python"]):
            problem = f"{users}: the cluster at {check.written_address} has Python {theirs['python']}"
            problem += f", but the image {check.image} has Python {own['python']}"
            yield Problem(where, problem, _python_hint(theirs["python"], own["python"]), ErrorCode.RAY_PYTHON)


def _ray_hint(check: RayCheck, theirs: str, own: str) -> str:
    if check.is_nemo_gym:
        return f"the Ray version of NeMo Gym's image is fixed: run the cluster with ray[default]=={own}"
    return f"ray: {{version: '{theirs}'}} (+ray.version={theirs}) installs that version in the image"


def _python_hint(theirs: str, own: str) -> str:
    if _minor(theirs) >= _OLDEST:
        return (
            f"--base-image python:{'.'.join(map(str, _minor(theirs)))}-slim builds the servers' "
            "images with that version"
        )
    return f"start the cluster with Python {'.'.join(map(str, _minor(own)))}: gymctl's servers do not run on {theirs}"


def _look(check: RayCheck) -> Mapping[str, Any]:
    details: Mapping[str, Any] = {}
    name = f"gymctl-ray-probe-{token_hex(4)}"
    over = False
    try:
        done = run(_argv(check, name), stdin=_PROBE.read_text(encoding="utf-8"), timeout=_PATIENCE_S)
        over = True
        details = json.loads(done.stdout.strip().splitlines()[-1])
    except CommandFailed as failure:
        over = failure.code is not None
        details = {
            "failed": "talk",
            "error": str(failure) if failure.code is not None else f"none in {_PATIENCE_S:g} s",
        }
    except (ValueError, IndexError):
        details = {"failed": "talk", "error": "the probe printed nothing"}
    finally:
        if not over:  # only the docker command has ended
            with suppress(CommandFailed):
                run(["docker", "rm", "--force", name], check=False, timeout=_REMOVAL_S)
    return details


def _argv(check: RayCheck, name: str) -> Sequence[str]:
    """A container as a server's is: a bridge's network, no capabilities, a file system that cannot be written."""
    argv = ["docker", "run", "--rm", "--interactive", "--init", "--pull", "never", "--read-only", "--tmpfs", "/tmp"]  # noqa: S108
    argv += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--env", "RAY_AUTH_MODE=disabled"]
    argv += ["--name", name]
    for host in check.extra_hosts:
        argv += ["--add-host", host]
    return [*argv, check.image, "python", "-", check.host, str(check.port)]


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
