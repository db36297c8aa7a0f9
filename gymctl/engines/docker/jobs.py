"""One-off containers: a job on the stack's networks, and the probe for the limit of open files."""

from __future__ import annotations

import csv
import io
import os
import re
import socket
import struct
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.terminal_text import plain
from gymctl.engines.atomic_files import current_umask
from gymctl.engines.docker.daemon import engine_socket
from gymctl.engines.protocol import Job, JobMount, JobResult
from gymctl.engines.runner import OnLine, run, stream
from gymctl.engines.state import StackState
from gymctl.errors import EngineError
from gymctl.server.run.open_files import WANTED_FILES
from gymctl.stack.labels import JOB, STACK
from gymctl.stack.limits import COLLECTOR
from gymctl.stack.networks.membership import is_egress, is_for_jobs
from gymctl.stack.slices.host_gateway import extra_hosts

if TYPE_CHECKING:
    import docker

    from gymctl.stack import StackPlan

NAME_VARIABLE = "GYMCTL_CONTAINER"  # a job's own name, so that it can say how it is stopped
_DOCKER_RUN_FAILED = (125, 126, 127)
_OPEN_FILES = re.compile(r"^Max open files\s+\S+\s+(\S+)", re.MULTILINE)
_RIGHTS = re.compile(r"^CapEff:\s+([0-9a-f]+)", re.MULTILINE)
_CAP_SYS_RESOURCE = 1 << 24  # capabilities(7): raise hard limits


def run_on_networks(
    client: docker.DockerClient,
    job: Job,
    state: StackState,
    networks: Sequence[str],
    on_line: OnLine,
    on_error_line: OnLine | None = None,
) -> JobResult:
    """Run a job on a stack's networks; each line of its standard output goes to ``on_line``.

    The first Ctrl-C is passed on and the job ends in its own way; the third kills it.

    Raises:
        EngineError: Docker could not start the job.
    """
    name = job_name(state.name)
    argv = job_command(
        replace(job, image=job.image or state.image, command=_with_umask(job.command)),
        name=name,
        project=state.name,
        networks=networks,
        user=as_this_user(client),
        nofile=state.nofile,
        extra_hosts=extra_hosts((server.address for server in state.outside), ()),
    )
    try:
        done = stream(
            argv,
            on_line,
            on_error_line=on_error_line,
            stdin=job.stdin,
            holds_stdin=job.holds_stdin,
            check=False,
            raise_interrupt=False,
        )
    finally:
        _remove_container(client, name)
    output = plain(done.stderr).strip()
    if done.code in _DOCKER_RUN_FAILED and not done.interrupted:
        hint = "see gymctl status"
        if "bind source path does not exist" in output:
            hint = "a job's files must be on its engine's machine; run this command there"
        raise EngineError(f"the job could not be started: {output or 'docker run printed nothing'}", hint)
    return JobResult(done.code, output, done.interrupted)


def job_networks(client: docker.DockerClient, label: str, state: StackState) -> list[str]:
    """The networks of a stack that a job joins: those on which its servers reach each other.

    A job that calls agents outside of the stack also joins one with outbound access. ``label`` has the stack's name.

    Raises:
        EngineError: it has none.
    """
    names = [network["Name"] for network in client.api.networks(filters={"label": f"{label}={state.name}"})]
    inside = sorted(name for name in names if is_for_jobs(name.removeprefix(f"{state.name}_")))
    if not inside:
        raise EngineError(f"the stack {state.name} is not running: it has no network", "start it: gymctl up")
    outbound = sorted(name for name in names if is_egress(name.removeprefix(f"{state.name}_")))
    return [*inside, *(outbound[:1] if state.outside else [])]


def join_jobs(client: docker.DockerClient, label: str, state: StackState) -> None:
    """Have the running jobs of a stack join its new networks, after a change of it; ``label`` as ``job_networks``."""
    from docker.errors import APIError

    for job in client.api.containers(filters={"label": [f"{STACK}={state.name}", JOB]}):
        joined = job["NetworkSettings"]["Networks"].keys()
        for network in job_networks(client, label, state):
            if network not in joined:
                with suppress(APIError):  # it has just ended
                    client.api.connect_container_to_network(job["Id"], network)


def _with_umask(command: Sequence[str]) -> list[str]:
    """The command under this process's umask: a container has one of its own, and what it writes is this user's."""
    return ["sh", "-c", f'umask {current_umask():03o} && exec "$@"', "sh", *command]


def _remove_container(client: docker.DockerClient, name: str) -> None:
    from docker.errors import APIError

    with suppress(APIError):  # it has already been removed
        client.api.remove_container(name, force=True)


def nofile_limit(image: str) -> int:
    """The highest open-files limit, up to 65535, that a container may have: above the daemon's own none starts.

    Raises:
        CommandFailed: no container of ``image`` starts at all.
    """
    own, may_raise = _daemons_own()
    if own >= WANTED_FILES:
        return WANTED_FILES
    if own and not may_raise:
        return own
    probe = ("docker", "run", "--rm", "--network", "none", "--entrypoint", "sh")
    ask = (image, "-c", "ulimit -Hn")
    high = run([*probe, "--ulimit", f"nofile={WANTED_FILES}:{WANTED_FILES}", *ask], check=False, timeout=60)
    if high.code == 0:  # it may raise limits above its own
        return WANTED_FILES
    if own:
        return own
    allowed = run([*probe, *ask], timeout=60).stdout.strip()
    if allowed.isdigit():
        return min(WANTED_FILES, int(allowed))
    return WANTED_FILES


def _daemons_own() -> tuple[int, bool]:
    """The open-files limit of a daemon on this machine, and whether it may raise it (``/proc``).

    0 when it is elsewhere or cannot be asked.
    """
    path = engine_socket()
    if not path:
        return 0, True
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(path)
            pid = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
        rights = _RIGHTS.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace"))
    except (OSError, AttributeError, ValueError):
        return 0, True
    match = _OPEN_FILES.search(limits)
    if match and match[1] == "unlimited":
        own = WANTED_FILES
    elif match:
        own = int(match[1])
    else:
        own = 0
    return own, rights is None or bool(int(rights[1], 16) & _CAP_SYS_RESOURCE)


def job_name(project: str) -> str:
    """A container name that no other job has."""
    return f"{project}-collect-{uuid.uuid4().hex[:8]}"


def job_command(
    job: Job,
    *,
    name: str,
    project: str,
    networks: Sequence[str],
    user: Sequence[str],
    nofile: int,
    extra_hosts: Sequence[str] = (),
) -> list[str]:
    """The argument list that runs ``job``; ``user`` are the options for its user, ``extra_hosts`` as in Compose."""
    argv = ["docker", "run", "--rm", "--init", "--name", name]
    for network in networks:
        argv += ["--network", network]
    argv += ["--label", f"{STACK}={project}", "--label", JOB, "--pull", "never"]
    argv += ["--read-only", "--tmpfs", f"/tmp:size={COLLECTOR.tmp_mb}m"]  # noqa: S108
    argv += ["--memory", f"{COLLECTOR.memory_mb}m", "--pids-limit", str(COLLECTOR.pids)]
    argv += ["--cpu-shares", str(COLLECTOR.cpu_shares)]
    argv += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    argv += ["--log-driver", "none", *user]  # its output is ours already
    if job.alias:
        argv += ["--network-alias", job.alias]
    if nofile:
        argv += ["--ulimit", f"nofile={nofile}:{nofile}"]
    for host in extra_hosts:
        argv += ["--add-host", host]
    for mount in job.mounts:
        argv += ["--mount", _mount_option(mount)]
    for key, value in {NAME_VARIABLE: name, **job.env}.items():
        argv += ["--env", f"{key}={value}"]
    if job.stdin is not None:
        argv += ["--interactive"]
    return [*argv, job.image, *job.command]


def _mount_option(mount: JobMount) -> str:
    """``--mount`` takes one line of CSV, so that a path may hold a comma or a quote."""
    row = ["type=bind", f"source={mount.source.resolve()}", f"target={mount.target}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*row, "readonly"] if mount.read_only else row)
    return line.getvalue()


def as_this_user(client: docker.DockerClient) -> list[str]:
    """The options that make what a job writes belong to this user.

    Under a rootless engine the container's root is this user. Root itself, without capabilities, could not write
    where others own the folder.
    """
    options = client.info().get("SecurityOptions") or ()
    if any("rootless" in option for option in options):
        return ["--user", "0:0"]
    user = ["--user", f"{os.getuid()}:{os.getgid()}"]
    if any("name=userns" in option for option in options):
        user += ["--userns", "host"]  # with userns-remap, a user of the container is another one on this machine
    if os.getuid() == 0:
        return [*user, "--cap-add", "DAC_OVERRIDE"]
    return user


def job_image(plan: StackPlan) -> str:
    """The image that jobs run in: one without a user's server, since only gymctl's own packages are needed."""
    for image in plan.images:
        if not (image.folder or image.gym or image.dockerfile):
            return image.tag
    return plan.images[0].tag
