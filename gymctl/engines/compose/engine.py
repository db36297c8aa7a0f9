"""The Compose engine: a stack as an ordinary Compose project in a directory.

State, health and logs are asked of Docker by label, commands go through ``docker compose``: what gymctl says and what
``docker compose ps`` says are the same thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl import __version__
from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.engines.build.cleanup import remove_earlier_images
from gymctl.engines.build.images import OnBuild, build_images
from gymctl.engines.compose.changes import ServiceChange, changes_of_stack
from gymctl.engines.compose.command import compose_command, override_file
from gymctl.engines.compose.effective import effective_file
from gymctl.engines.compose.leftovers import check_directory, check_leftovers
from gymctl.engines.compose.logs import readable_line, services_to_read
from gymctl.engines.compose.ports import check_port
from gymctl.engines.compose.preparation import Preparation, takes_log_limit
from gymctl.engines.compose.remove import remove_stack, remove_unused_networks
from gymctl.engines.compose.scale import scale_project, services_to_scale
from gymctl.engines.compose.update import Project, update_stack
from gymctl.engines.compose.version import StackVersion
from gymctl.engines.docker.containers import PROJECT, Container, find_containers, memory_kills, server_status
from gymctl.engines.docker.daemon import connect, is_on_this_machine, spoken_errors
from gymctl.engines.docker.gpus import check_gpus
from gymctl.engines.docker.jobs import job_image, job_networks, join_jobs, nofile_limit, run_on_networks
from gymctl.engines.docker.location import check_location, check_sources
from gymctl.engines.docker.ray_cluster import check_clusters
from gymctl.engines.docker.requirements import check_commands, check_engine
from gymctl.engines.planned_servers import planned_servers
from gymctl.engines.protocol import DRAIN_TIMEOUT_S, Job, JobResult, Node, OnServer, Removed, ServerStatus
from gymctl.engines.rendered_file import check_ours
from gymctl.engines.runner import OnLine, stream
from gymctl.engines.saved_stack import images_of, read_stack
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.state import StackState, find_own_state, load_state, save_state
from gymctl.errors import EngineError

if TYPE_CHECKING:
    import docker

    from gymctl.stack import StackPlan


class ComposeEngine:
    """The stack of ``directory``; its rendered file is ``directory/compose.yaml``."""

    def __init__(self, directory: Path, file_name: str = "compose.yaml") -> None:
        self.directory = directory.resolve()
        self.file = self.directory / file_name

    @spoken_errors()
    def prepare(
        self,
        plan: StackPlan,
        *,
        base_image: str | None = None,
        ca_bundle: Path | None = None,
        on_build: OnBuild = lambda _: None,
    ) -> Preparation:
        """Check that the stack can be started here and build its images. Writes nothing into the directory.

        Raises:
            InputError: ``compose.yaml`` is someone else's.
            EngineError: no engine, a port that is taken, another stack of the same name, an image that cannot be built.
        """
        bounded_logs = self.check(plan)
        images = build_images(
            plan.images, directory=self.directory, base_image=base_image, ca_bundle=ca_bundle, on_event=on_build
        )
        built = plan.with_images(images)
        check_clusters(built.ray_checks)
        override = override_file(self.directory)
        return Preparation(
            nofile=nofile_limit(built.images[0].tag),
            images=images,
            bounded_logs=bounded_logs,
            notes=(f"{override.name} in this directory is applied",) if override else (),
        )

    @spoken_errors()
    def check(self, plan: StackPlan) -> bool:
        """Check that the stack can be started here. Returns whether the engine's log driver takes a limit.

        Raises:
            InputError: ``compose.yaml`` is someone else's.
            EngineError: no engine, a port that is taken, or another stack of the same name.
        """
        check_ours(self.file)
        check_commands()
        client = connect()
        check_engine(client)
        check_location(client)
        check_sources(plan.services)
        self._check_names(client, plan.name)
        check_leftovers(client, plan)
        for service in plan.services:
            for host, port, owner in service.publications:
                check_port(client, plan.name, host, port, of=owner)
        info = client.info()
        check_gpus(plan.services, info, is_here=is_on_this_machine(client))
        return takes_log_limit(info)

    @spoken_errors()
    def containers(self, name: str) -> list[Container]:
        """The containers of the stack ``name``, running or not."""
        return find_containers(connect(""), name)

    @spoken_errors()
    def changes(self, plan: StackPlan, text: str) -> list[ServiceChange]:
        """What ``up`` with the rendered ``text`` would do to each service. Writes nothing.

        Raises:
            EngineError: no engine, or Compose does not accept the text.
        """
        containers = self.containers(plan.name)
        return changes_of_stack(
            StackVersion.of(plan), self.file, effective_file(plan.name, self.file, text), containers
        )

    def _check_names(self, client: docker.DockerClient, name: str) -> None:
        """One directory, one stack; one stack name, one directory."""
        before = find_own_state(self.directory, "compose")
        if before is not None and before.name != name and find_containers(client, before.name):
            raise EngineError(f"this directory already runs the stack {before.name}", "stop it first: gymctl down")
        check_directory(find_containers(client, name), name, self.directory)

    @spoken_errors()
    def up(
        self,
        plan: StackPlan,
        text: str,
        *,
        arguments: Sequence[str] = (),
        config_digest: str = "",
        timeout: float = 180.0,
        drain_timeout: float = DRAIN_TIMEOUT_S,
        on_event: OnServer = lambda _: None,
    ) -> StackState:
        """Write the rendered ``text``, start it, wait until every server is healthy (at most ``timeout`` seconds).

        Containers of a running stack are replaced without losing calls: new ones start next to the old ones, which
        end when all new ones are healthy. If one fails, the new ones are removed and the stack is as before. After a
        first start that fails, the containers stay, to be looked at; ``down`` removes them.

        Raises:
            ServerFailed: a server did not come up.
            EngineError: the engine or Compose failed.
        """
        check_ours(self.file)
        client = connect("")
        state = self._state(plan, text, arguments, config_digest)
        project = Project(
            client=client,
            name=plan.name,
            file=self.file,
            titles=state.titles,
            command=self._command,
            timeout=timeout,
            drain_timeout=drain_timeout,
            on_event=on_event,
        )
        earlier = read_stack(self.directory)
        if earlier is not None and any(item.is_well for item in project.containers()):
            effective = effective_file(plan.name, self.file, text)
            version = StackVersion.of(plan)
            update_stack(project, version, effective, earlier, write=lambda: self._write(plan, text, state))
        else:
            self._write(plan, text, state)
        project.start_all()
        remove_unused_networks(client, plan)
        join_jobs(client, PROJECT, state)
        used = {image.tag for image in plan.images} | images_of(earlier)
        remove_earlier_images(client, sorted(used), self.directory)
        return state

    def _write(self, plan: StackPlan, text: str, state: StackState) -> None:
        """Write the files of the stack into its directory."""
        write_secrets(self.directory, plan.secrets)
        save_state(self.directory, state)
        write_atomically(self.file, text, mode=new_file_mode())

    def _state(self, plan: StackPlan, text: str, arguments: Sequence[str], config_digest: str) -> StackState:
        return StackState(
            engine="compose",
            name=plan.name,
            head_url=plan.head_url,
            servers=planned_servers(plan),
            arguments=tuple(arguments),
            config_digest=config_digest,
            compose_file=self.file.name,
            compose_digest=hashlib.sha256(text.encode()).hexdigest(),
            nofile=plan.options.nofile,
            image=job_image(plan),
            version=__version__,
            role=plan.role,
        )

    def _command(self, name: str, *arguments: str) -> list[str]:
        return compose_command(name, self.file, *arguments)

    @spoken_errors()
    def status(self) -> list[ServerStatus]:
        """Every server of the stack as Docker sees it now, the planned order kept; what has no container is missing.

        Raises:
            InputError: no stack was brought up here.
            EngineError: no engine.
        """
        state = load_state(self.directory)
        client = connect("")
        containers = find_containers(client, state.name)
        kills = memory_kills(client, containers)
        return [server_status(server, containers, kills) for server in state.servers]

    @spoken_errors()
    def scale(self, counts: Mapping[str, int], *, timeout: float = 180.0, on_event: OnServer = lambda _: None) -> None:
        """Set the replica count of each server; other servers are not touched. The next ``up`` resets it.

        Those that go finish what is under way first, which may take ``timeout`` seconds as getting healthy may.

        Raises:
            InputError: no stack was brought up here, or it has no such server, or one that can be but one.
            ServerFailed: a replica did not come up.
        """
        state = load_state(self.directory)
        requested = services_to_scale(state, counts)
        scale_project(connect(""), self.directory, state, requested, self._command, timeout=timeout, on_event=on_event)

    def logs(
        self,
        servers: Sequence[str],
        on_line: OnLine,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: str = "",
    ) -> None:
        """Pass on the servers' log lines (all servers' when none is named), without terminal control sequences.

        Raises:
            EngineError: Docker does not answer, or it cannot read back the lines of any of them.
        """
        state = load_state(self.directory)
        options = ["--no-color"]
        options += ["--follow"] if follow else []
        options += ["--tail", str(tail)] if tail is not None else []
        options += ["--since", since] if since else []
        services = services_to_read(connect(""), state, servers, on_line)
        command = self._command(state.name, "logs", *options, *services)
        stream(command, lambda line: on_line(readable_line(line, state)), cwd=self.directory)

    def nodes(self) -> list[Node]:
        """None: the containers are on one machine."""
        return []

    def serves_loopback(self) -> bool:
        """False: only jobs on the stack's network reach its servers."""
        return False

    @spoken_errors()
    def run_job(self, job: Job, on_line: OnLine, on_error_line: OnLine | None = None) -> JobResult:
        """Run a job on the stack's networks; each line of its standard output goes to ``on_line``.

        The first Ctrl-C is passed on and the job ends in its own way; the third kills it.

        Raises:
            InputError: no stack was brought up here.
            EngineError: its network is gone, or Docker could not start the job.
        """
        state = load_state(self.directory)
        client = connect("")
        return run_on_networks(client, job, state, job_networks(client, PROJECT, state), on_line, on_error_line)

    @spoken_errors()
    def down(self, *, volumes: bool = False) -> Removed:
        """Remove containers, networks, jobs, secrets, state and the rendered file; named volumes only when asked.

        A ``compose.yaml`` that was changed since is kept. Works without it, and after a failed ``up``.

        Raises:
            InputError: no stack was brought up here.
            EngineError: no engine, or Compose failed.
        """
        return remove_stack(connect(""), self.directory, load_state(self.directory), self._command, volumes=volumes)
