"""The two that are compared: a stack of gymctl's servers, and the same stack of NeMo Gym's, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from gymctl.config import load_config, upstream
from gymctl.config.blocks.hop_tokens import TOKEN_HEADER, TOKENS_VARIABLE
from gymctl.operations.hop_tokens import stack_tokens
from gymctl.stack.hop_tokens import local_file, local_token_files

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICES = REPOSITORY / "services"
UPSTREAM = "nemo-gym"
"""The side of the release to compare with; those of other releases have their version in the name."""
OPENAI_MODEL = "openai_model"
VLLM_MODEL = "vllm_model"


@dataclass(frozen=True)
class Server:
    """One server of a stack to start: its kind, implementation, and fields in YAML's flow style."""

    name: str
    kind: str
    implementation: str
    fields: str


@dataclass(frozen=True)
class Stack:
    """A running stack: server name to port, and every process that belongs to it."""

    ports: Mapping[str, int]
    root: int
    seconds: float  # from the start to the last server's first answer
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a call of each server must have; empty: nothing."""

    def header(self, server: str) -> str:
        """The header of a call to a server; empty if it needs none."""
        token = self.tokens.get(server)
        return f"{TOKEN_HEADER}: {token}" if token else ""

    def processes(self, *names: str) -> list[int]:
        """The processes that listen on the servers' ports; all servers when none is named.

        Raises:
            RuntimeError: no process listens on the port of one of them: it has ended.
        """
        found: set[int] = set()
        for name in names or self.ports:
            processes = machine.listening_on(self.ports[name])
            if not processes:
                raise RuntimeError(f"{name} has ended: no process listens on port {self.ports[name]}")
            found.update(processes)
        return sorted(found)

    def family(self) -> list[int]:
        """All processes of the stack."""
        return machine.family(self.root)


@dataclass(frozen=True)
class Side:
    """One of the two: how its stack is started. ``port`` is the first of the ports it uses.

    By default NeMo Gym makes and checks an environment for each server at every start (uv); with
    ``checks_venvs`` false, it takes those that are there (``skip_venv_if_present``): the one it is installed in.
    With ``has_tokens``, servers of gymctl answer only calls with their token (``tokens: true``).
    """

    name: str
    python: Path
    port: int
    backend_port: int
    folder: Path
    one_process: bool = False
    checks_venvs: bool = False
    has_tokens: bool = False

    @property
    def is_upstream(self) -> bool:
        """Whether this is NeMo Gym."""
        return self.name.startswith(UPSTREAM)

    @contextmanager
    def running(self, servers: Sequence[Server]) -> Iterator[Stack]:
        """The stack, up and answering; its processes are ended on leaving."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = {server.name: self.port + place for place, server in enumerate(servers, 1)}
        config = self.folder / "stack.yaml"
        config.write_text("".join(entry(server, ports[server.name]) for server in servers))
        tokens = self._write_tokens(config) if self.has_tokens else {}
        started = time.monotonic()
        with (self.folder / "stack.log").open("wb") as log:
            root = subprocess.Popen(
                ["/bin/sh", "-c", self._script(servers, config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                env=self.environment({"NEMO_GYM_CONFIG_DICT": config.read_text(), "PYTHONPATH": str(REPOSITORY)}),
            )  # fmt: skip
        try:
            wait_for(ports, root, self.folder / "stack.log", timeout_s=900 if self.checks_venvs else 180)
            yield Stack(ports, root.pid, time.monotonic() - started, tokens)
        finally:
            _end(root)

    def _script(self, servers: Sequence[Server], config: Path) -> str:
        if self.is_upstream:
            return (
                f"exec ng_run '+config_paths=[{config}]' {self._environments(servers)}"
                f" +head_server.host=127.0.0.1 +head_server.port={self.port}"
            )
        if self.one_process:
            return f"exec {self.python} {Path(__file__).parent / 'all_in_one.py'} {config} {self.port}"
        lines = [
            f"(cd {SERVICES / server.kind / server.implementation} && "
            f"NEMO_GYM_CONFIG_PATH={server.name} {self._tokens_variable(server)}exec {self.python} app.py) &"
            for server in servers
        ]
        return "\n".join([*lines, "wait"])

    def _tokens_variable(self, server: Server) -> str:
        """The variable of a server's process that names its file with tokens; empty without tokens."""
        if not self.has_tokens:
            return ""
        return f"{TOKENS_VARIABLE}={self._tokens_folder / server.name} "

    @property
    def _tokens_folder(self) -> Path:
        return self.folder / "tokens"

    def _write_tokens(self, config_file: Path) -> dict[str, str]:
        """Write the file with the tokens of each server; what a call of each must have."""
        config = load_config([str(config_file), "++tokens=true"], cwd=self.folder, environ=os.environ)
        tokens = stack_tokens(config, self.folder)
        files = local_token_files(config, tokens)
        self._tokens_folder.mkdir(exist_ok=True)
        for name in config.started:
            (self._tokens_folder / name).write_text(files[local_file(config, name)])
        return {name: accepted[0] for name, accepted in tokens.items()}

    def _environments(self, servers: Sequence[Server]) -> str:
        """Where NeMo Gym's servers find what they need installed, as its options.

        Release 0.7.0 also starts an environment server for each agent that has none.
        """
        if self.checks_venvs:
            return f"+uv_venv_dir={self.folder}/checked-venvs +uv_cache_dir={self.folder}/uv-cache"
        folders = {(server.kind, server.implementation) for server in servers}
        for kind, implementation in folders | {(upstream.ENVIRONMENT_KIND, upstream.RELAY)}:
            place = self.folder / "venvs" / kind / implementation
            place.mkdir(parents=True, exist_ok=True)
            if not (place / ".venv").exists():
                (place / ".venv").symlink_to(self.python.parent.parent)
        return f"+skip_venv_if_present=true +uv_venv_dir={self.folder}/venvs"

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """The environment of this side's processes; ``own`` is what only gymctl's get."""
        if not self.is_upstream:
            return {**os.environ, **own}
        # uv makes environments with the interpreter below this one; one that it does not find it would fetch
        path = os.pathsep.join([str(self.python.parent), str(self.python.resolve().parent), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


def rollout_servers(backend_port: int) -> list[Server]:
    """Model, resources server and agent of the smallest environment."""
    return [
        Server(
            "policy_model", "responses_api_models", OPENAI_MODEL,
            f'openai_base_url: "http://127.0.0.1:{backend_port}/v1", openai_api_key: none, openai_model: bench',
        ),
        Server(
            "environment", "resources_servers", "example_single_tool_call",
            "domain: agent, verified: false, description: bench",
        ),
        Server(
            "agent", "responses_api_agents", "simple_agent",
            "resources_server: {type: resources_servers, name: environment}, "
            "model_server: {type: responses_api_models, name: policy_model}",
        ),
    ]  # fmt: skip


def token_server(backend_port: int) -> Server:
    """A vLLM model server that reports token ids."""
    return Server(
        "training_model", "responses_api_models", VLLM_MODEL,
        f'base_url: "http://127.0.0.1:{backend_port}/v1", api_key: none, model: bench, '
        "return_token_id_information: true, uses_reasoning_parser: true",
    )  # fmt: skip


def entry(server: Server, port: int | None = None) -> str:
    """A server's entry in a configuration; with a port, for a process on the loopback interface."""
    address = "entrypoint: app.py" + (f", host: 127.0.0.1, port: {port}" if port else "")
    return f"{server.name}:\n  {server.kind}:\n    {server.implementation}: {{{address}, {server.fields}}}\n"


def wait_for(ports: Mapping[str, int], root: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Wait until every port answers.

    Args:
        ports: of the servers, by name.
        root: the process whose end is theirs.
        log: file whose end is shown when they do not come up.
        timeout_s: seconds to wait at most.

    Raises:
        RuntimeError: a server did not come up.
    """
    limit = time.monotonic() + timeout_s
    waiting = dict(ports)
    while waiting:
        waiting = {name: port for name, port in waiting.items() if not _answers(port)}
        if time.monotonic() > limit or root.poll() is not None:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{', '.join(waiting)} did not come up; the end of {log}:\n{tail}")
        time.sleep(0.05 if waiting else 0)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).read()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _end(root: subprocess.Popen[bytes]) -> None:
    """End a stack by its own signal handlers, then what is left of its session."""
    everyone = machine.family(root.pid)
    for number, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 2.0)):
        for pid in everyone:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        limit = time.monotonic() + patience
        while time.monotonic() < limit:
            root.poll()
            if not any(Path(f"/proc/{pid}").exists() for pid in everyone):
                return
            time.sleep(0.1)
