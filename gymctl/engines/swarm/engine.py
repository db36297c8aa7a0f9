"""The Swarm engine: a stack on all machines of a Swarm, controlled through a manager.

``docker`` and gymctl talk to the same engine (``DOCKER_HOST``, the context), which must be a manager. What Swarm's
commands return means little; what became of the tasks is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl import __version__
from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.engines.build.images import OnBuild, build_images
from gymctl.engines.compose.scale import services_to_scale
from gymctl.engines.docker.daemon import connect, spoken_errors
from gymctl.engines.docker.jobs import job_image, job_networks, join_jobs, nofile_limit, run_on_networks
from gymctl.engines.docker.ray_cluster import check_clusters
from gymctl.engines.own_folder import write_files
from gymctl.engines.planned_servers import server_address
from gymctl.engines.protocol import Job, JobResult, Node, OnServer, Removed, ServerStatus
from gymctl.engines.rendered_file import check_ours
from gymctl.engines.runner import OnLine
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.state import StackState, find_state, load_state, save_state
from gymctl.engines.swarm.deploy import deploy, move_away, scale
from gymctl.engines.swarm.images import check_hosts, check_registry, load_images, push_images
from gymctl.engines.swarm.logs import services_to_read, stream_logs
from gymctl.engines.swarm.nodes import check_manager, find_node, find_nodes, new_enough_manager, set_availability
from gymctl.engines.swarm.preparation import check_names, check_networks
from gymctl.engines.swarm.remove import remove_stack
from gymctl.engines.swarm.task_history import server_status
from gymctl.engines.swarm.tasks import NAMESPACE, find_services, find_tasks
from gymctl.errors import EngineError
from gymctl.stack.swarm.service_keys import MOVING

if TYPE_CHECKING:
    from gymctl.stack import StackPlan
    from gymctl.stack.swarm import SwarmRendering


class SwarmEngine:
    """The stack of ``directory``; its rendered file is ``directory/swarm.yaml``."""

    def __init__(self, directory: Path, file_name: str = "swarm.yaml") -> None:
        self.directory = directory.resolve()
        self.file = self.directory / file_name

    @spoken_errors()
    def prepare(
        self,
        plan: StackPlan,
        *,
        registry: str = "",
        hosts: Sequence[str] = (),
        base_image: str | None = None,
        ca_bundle: Path | None = None,
        on_build: OnBuild = lambda _: None,
    ) -> tuple[int, dict[str, str]]:
        """Check that the stack can be started here, build its images and give them to the nodes.

        They are pushed to ``registry`` (``HOST/PREFIX``), or loaded into the engines at ``hosts`` as well as this one.

        Returns:
            The open-files limit to render with, and the image to deploy for each of the plan's.

        Raises:
            InputError: ``swarm.yaml`` is someone else's, or ``registry`` or a host cannot be one.
            EngineError: no manager, another stack of the same name, a network of it that is not encrypted, an image
                that cannot be built or sent.
        """
        check_ours(self.file)
        check_hosts(hosts)
        if registry:
            check_registry(registry)
        client = new_enough_manager()
        check_names(client, self.directory, plan.name)
        check_networks(client, plan)
        images = build_images(
            plan.images, directory=self.directory, base_image=base_image, ca_bundle=ca_bundle, on_event=on_build
        )
        built = plan.with_images(images)
        check_clusters(built.ray_checks)
        if hosts:
            load_images(list(images.values()), hosts, on_build)
        if registry:
            images = push_images(client, images, registry, on_build)
        return nofile_limit(built.images[0].tag), images

    @spoken_errors()
    def up(
        self,
        plan: StackPlan,
        rendering: SwarmRendering,
        *,
        images: Mapping[str, str],
        arguments: Sequence[str] = (),
        config_digest: str = "",
        timeout: float = 180.0,
        on_event: OnServer = lambda _: None,
    ) -> StackState:
        """Write the rendering, deploy it, wait until every server is healthy (at most ``timeout`` seconds).

        An update that fails, or that Docker refuses, is rolled back, and the directory with it. A first start that
        fails is left as it is, to be looked at; ``down`` removes it.

        Raises:
            ServerFailed: a server did not come up.
            EngineError: Docker refuses the stack.
        """
        check_ours(self.file)
        client = connect("")
        state_before = find_state(self.directory)
        text_before = self.file.read_text("utf-8") if self.file.exists() else None
        image = job_image(plan)
        state = self._state(plan, rendering, images.get(image, image), arguments, config_digest)
        earlier = find_services(client, plan.name)
        try:
            self._write(state, rendering.text, rendering.files, plan.secrets)
            deploy(client, plan.name, self.file, state.titles, earlier, timeout=timeout, on_event=on_event)
            join_jobs(client, NAMESPACE, state)
        except EngineError:
            if earlier and state_before is not None and text_before is not None:
                save_state(self.directory, state_before)
                write_atomically(self.file, text_before, mode=new_file_mode())
            raise
        return state

    def _write(self, state: StackState, text: str, files: Mapping[str, bytes], secrets: Mapping[str, str]) -> None:
        write_secrets(self.directory, secrets)
        save_state(self.directory, state)
        write_files(self.directory, files)
        write_atomically(self.file, text, mode=new_file_mode())

    def _state(
        self, plan: StackPlan, rendering: SwarmRendering, image: str, arguments: Sequence[str], config_digest: str
    ) -> StackState:
        servers = [server_address(item, item.address) for item in plan.services if item.name in rendering.services]
        return StackState(
            engine="swarm",
            name=plan.name,
            head_url=plan.services[0].address,
            servers=tuple(servers),
            arguments=tuple(arguments),
            config_digest=config_digest,
            compose_file=self.file.name,
            compose_digest=hashlib.sha256(rendering.text.encode()).hexdigest(),
            nofile=plan.options.nofile,
            image=image,
            version=__version__,
            files=tuple(rendering.files),
        )

    @spoken_errors()
    def status(self) -> list[ServerStatus]:
        """Every server's current state in the Swarm, with the history of its tasks, in the planned order.

        Raises:
            InputError: no stack was brought up here.
            EngineError: no manager answers.
        """
        state = load_state(self.directory)
        client = connect("")
        check_manager(client)
        services = find_services(client, state.name)
        tasks = find_tasks(client, state.name)
        nodes = {node.id: node for node in find_nodes(client)}
        return [server_status(server, services.get(server.service_name), tasks, nodes) for server in state.servers]

    @spoken_errors()
    def nodes(self) -> list[Node]:
        """Every node of the Swarm, managers first."""
        client = connect("")
        check_manager(client)
        return find_nodes(client)

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

        A line begins with ``server.replica@node``.

        Raises:
            EngineError: Docker does not answer, or it cannot read back the lines of any of them.
        """
        state = load_state(self.directory)
        services = {
            server.service_name: server.name for server in state.servers if not servers or server.name in servers
        }
        services = services_to_read(connect(""), state.name, services, on_line)
        stream_logs(state.name, services, on_line, follow=follow, tail=tail, since=since)

    def serves_loopback(self) -> bool:
        """False: only jobs on the stack's network reach its servers."""
        return False

    @spoken_errors()
    def run_job(self, job: Job, on_line: OnLine, on_error_line: OnLine | None = None) -> JobResult:
        """Run a job on the stack's network, on the manager; each line of its standard output goes to ``on_line``.

        Raises:
            InputError: no stack was brought up here.
            EngineError: its network is gone, or Docker could not start the job.
        """
        state = load_state(self.directory)
        client = connect("")
        networks = job_networks(client, NAMESPACE, state)
        moving = replace(job, env={**MOVING, **job.env})
        return run_on_networks(client, moving, state, networks, on_line, on_error_line)

    @spoken_errors()
    def scale(self, counts: Mapping[str, int], *, timeout: float = 180.0, on_event: OnServer = lambda _: None) -> None:
        """Set the replica count of each server, and wait until they are healthy. The next ``up`` resets it.

        Raises:
            InputError: no stack was brought up here.
            ServerFailed: a replica did not come up.
        """
        state = load_state(self.directory)
        services = services_to_scale(state, counts)
        scale(connect(""), state.name, services, titles=state.titles, timeout=timeout, on_event=on_event)

    @spoken_errors()
    def drain(self, name: str, *, timeout: float = 180.0, on_event: OnServer = lambda _: None) -> tuple[str, ...]:
        """Empty a node: this stack's servers start elsewhere first, then the remaining tasks are stopped.

        Returns:
            The servers that moved.

        Raises:
            InputError: no such node.
            ServerFailed: a server finds no other node. After this or any other failure the node is as it was.
        """
        client = connect("")
        state = find_state(self.directory)
        check_manager(client)
        node = find_node(client, name)
        moved: tuple[str, ...] = ()
        try:
            if state is not None and state.engine == "swarm":
                set_availability(client, node, "pause")
                moved = move_away(client, state.name, node, titles=state.titles, timeout=timeout, on_event=on_event)
            set_availability(client, node, "drain")
        except BaseException:
            set_availability(client, node, node.availability)
            raise
        return moved

    @spoken_errors()
    def activate(self, name: str) -> None:
        """Have a node take tasks again.

        Raises:
            InputError: no such node.
        """
        client = connect("")
        check_manager(client)
        set_availability(client, find_node(client, name), "active")

    @spoken_errors()
    def down(self, *, volumes: bool = False) -> Removed:
        """Remove services, networks, secrets, configs, jobs, state and the rendered file; returns after their removal.

        Raises:
            InputError: no stack was brought up here.
            EngineError: no manager answers, or something stays.
        """
        state = load_state(self.directory)
        client = connect("")
        check_manager(client)
        return remove_stack(client, self.directory, state, volumes=volumes)
