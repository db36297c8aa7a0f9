"""The servers of a stack as processes on loopback, to be killed, frozen and started again."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.kill_matrix.relay import Relay
from gymctl import assets

ROOT = Path(__file__).resolve().parents[2]
_OWN = Path(__file__).resolve().parent / "servers"
AGENT = "counting_agent"
BOXES = "boxes"
MODEL = "policy_model"
BACKEND = "backend"
_START_S = 60.0
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class Fleet:
    """An agent, a resources server, a model server and the model's backend.

    Args:
        folder: for logs.
        seed: of the backend's faults.
        relayed: whether calls between them go through relays that can break off.
    """

    def __init__(self, folder: Path, seed: int, *, relayed: bool = False) -> None:
        self.folder = folder
        self.log = folder / "agent.log"
        self._seed = seed
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        chooser = random.Random()
        self._ports = {name: _free_port(chooser) for name in (AGENT, BOXES, MODEL, BACKEND)}
        if relayed:
            wired = (AGENT, BOXES, MODEL)
        else:
            wired = ()
        self.relays = {name: Relay(self._ports[name], seed + index) for index, name in enumerate(wired)}
        self.model_retries = 0
        for name in self._ports:
            self.launch(name)
        for name in self._ports:
            self.wait_for(name)

    def url(self, name: str) -> str:
        """Where others reach a server: through its relay, where it has one."""
        if name in self.relays:
            port = self.relays[name].port
        else:
            port = self._ports[name]
        return f"http://127.0.0.1:{port}"

    def pid(self, name: str) -> int:
        """The process of a server."""
        return self._processes[name].pid

    def launch(self, name: str) -> None:
        """Start a server without waiting for it."""
        command, folder, environ = self._command(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one call, no locks
            )

    def wait_for(self, name: str) -> None:
        """Wait until a server answers.

        Raises:
            RuntimeError: it ended, or took too long.
        """
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._processes[name].poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{self._ports[name]}/", timeout=2):
                    return
            except (URLError, OSError):
                time.sleep(0.03)
        log = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{name} did not start: {log}")

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._processes[name].kill()
        self._processes[name].wait()

    def freeze(self, name: str, frozen: bool) -> None:
        """SIGSTOP, or SIGCONT."""
        self._processes[name].send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def fault(self, **fault: Any) -> None:
        """Have the backend misbehave; nothing given, have it behave."""
        body = json.dumps(fault).encode()
        request = Request(f"http://127.0.0.1:{self._ports[BACKEND]}/fault", body, method="POST")
        with urlopen(request, timeout=30):
            return

    def use_model_retries(self, number: int) -> None:
        """How often the model server itself retries; it is restarted when that changes."""
        if number != self.model_retries:
            self.model_retries = number
            self.kill(MODEL)
            self.launch(MODEL)
            self.wait_for(MODEL)

    def heal(self) -> None:
        """Start what is dead, thaw what is frozen, end faults."""
        for relay in self.relays.values():
            relay.share = 0.0
        for name, process in self._processes.items():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
            else:
                self.launch(name)
        for name in self._processes:
            self.wait_for(name)
        self.fault()

    def close(self) -> None:
        """Kill them all."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        for relay in self.relays.values():
            relay.close()

    def _command(self, name: str) -> tuple[list[str], Path, dict[str, str]]:
        if name == BACKEND:
            module = "benchmarks.kill_matrix.backend"
            return [sys.executable, "-m", module, str(self._ports[BACKEND]), str(self._seed)], ROOT, {}
        model = assets.folder("services") / "responses_api_models" / "openai_model"
        folder = {AGENT: _OWN / AGENT, BOXES: _OWN / BOXES, MODEL: model}[name]
        environ = {
            "NEMO_GYM_CONFIG_DICT": json.dumps(self._config(name)),
            "NEMO_GYM_CONFIG_PATH": name,
            "KILL_MATRIX_LOG": str(self.log),
        }
        return [sys.executable, "app.py"], folder, environ

    def _config(self, own: str) -> dict[str, Any]:
        """The configuration as server ``own`` sees it: itself at its port, the others where they are reached."""

        def place(name: str) -> dict[str, Any]:
            """Host and port of a server, as this one reaches it."""
            if name == own or name not in self.relays:
                port = self._ports[name]
            else:
                port = self.relays[name].port
            return {"entrypoint": "app.py", "host": "127.0.0.1", "port": port}

        agent = {
            **place(AGENT),
            "resources_server": {"type": "resources_servers", "name": BOXES},
            "model_server": {"type": "responses_api_models", "name": MODEL},
        }
        model = {
            **place(MODEL),
            "openai_base_url": f"http://127.0.0.1:{self._ports[BACKEND]}/v1",
            "openai_api_key": "none",
            "openai_model": "scripted",
            "max_retries": self.model_retries,
        }
        return {
            AGENT: {"responses_api_agents": {AGENT: agent}},
            BOXES: {"resources_servers": {BOXES: place(BOXES)}},
            MODEL: {"responses_api_models": {"openai_model": model}},
        }


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends (Linux): none is left behind."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _free_port(chooser: random.Random) -> int:
    """A port below those of outgoing connections, none of which may use it while its server restarts."""
    while True:
        port = chooser.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
