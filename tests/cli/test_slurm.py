"""``gymctl render --target slurm``: the script, and what it runs on nodes that a stand-in for Slurm makes up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from cli_stack import EXAMPLE, GOOD, Gymctl
from free_ports import free_port

from gymctl import assets

GPU_NODE = "127.0.0.9"
REWARDS = [1.0] * 8 + [0.0] * 2
WITH_MODEL = GOOD.replace(
    "    scripted_model: {entrypoint: app.py}\n",
    "    vllm_model:\n      entrypoint: app.py\n      return_token_id_information: false\n"
    "      uses_reasoning_parser: false\n",
)
WITH_MODEL += "vllm:\n  model: org/it's a model\n  instances: 2\n  tensor_parallel_size: 4\n  environment: {A: 'b c'}\n"

# Each node has an address of the loopback network, so that ports of nodes do not collide
SCONTROL = """#!/bin/sh
[ "$1 $2" = "show hostnames" ] || exit 2
echo "$3" | tr , '\\n'
"""
SRUN = """#!/bin/bash
echo "srun $*" >> "$FAKE_LOG"
node=127.0.0.9
while [ $# -gt 0 ]; do
  case $1 in
    --nodelist=*) node=${1#*=} ;;
    --chdir=*) cd "${1#*=}" ;;
    --het-group=* | --nodes=* | --ntasks=* | --overlap | --exact) ;;
    --*) echo "srun: unknown option $1" >&2; exit 2 ;;
    *) break ;;
  esac
  shift
done
SLURMD_NODENAME=$node exec "$@"
"""
RAY = """#!/bin/sh
echo "ray $*" >> "$FAKE_LOG"
exec sleep 600
"""
VLLM = """#!PYTHON
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(os.environ["FAKE_LOG"], "a") as log:
    print("vllm", json.dumps([os.environ.get("A"), *sys.argv[1:]]), file=log)
MESSAGE = {"role": "assistant", "content": "done"}
ANSWER = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [
    {"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply({})
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.reply(ANSWER)
    def reply(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer((os.environ["SLURMD_NODENAME"], port), Handler).serve_forever()
"""


def two_free_ports() -> int:
    """The first of two free ports in a row, at the address of the node with the models."""
    while True:
        first = free_port()
        with socket.socket() as one, socket.socket() as other, suppress(OSError, OverflowError):
            one.bind((GPU_NODE, first))
            other.bind((GPU_NODE, first + 1))
            return first


class Cluster:
    """A folder with a script, and commands that stand in for Slurm's, Ray's and vLLM's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "steps.log"
        self.log.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        gymctl = f'#!/bin/sh\nexec {sys.executable} -m gymctl.cli.main "$@"\n'
        fakes = {"srun": SRUN, "scontrol": SCONTROL, "ray": RAY, "vllm": VLLM.replace("PYTHON", sys.executable)}
        for name, text in {**fakes, "gymctl": gymctl}.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(stat.S_IRWXU)
        self.port = free_port()

    def environ(self, nodes: str) -> dict[str, str]:
        first = two_free_ports()
        return {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "FAKE_LOG": str(self.log),
            "SLURM_JOB_ID": "17",
            "SLURM_JOB_NODELIST": nodes,
            "SLURM_JOB_NODELIST_HET_GROUP_0": nodes,
            "GYMCTL_JOB_DIR": str(self.folder / "job"),
            "GYMCTL_HEAD_PORT": str(self.port),
            "GYMCTL_VLLM_PORT": str(first),
            "GYMCTL_START_TIMEOUT": "120",
        }

    def run(self, script: Path, nodes: str, *command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(script), *map(str, command)],
            cwd=self.folder, env=self.environ(nodes), capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    def processes(self) -> list[str]:
        """The commands of processes that still run in this cluster's folders, apart from the test's own."""
        running = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_inside = (process / "cwd").resolve().is_relative_to(self.folder)
                command = (process / "cmdline").read_bytes()
                if is_inside and command and process.name != str(os.getpid()):
                    running.append(command.replace(b"\0", b" ").decode())
        return running


@pytest.fixture
def cluster(folder: Path) -> Cluster:
    if shutil.which("bash") is None or shutil.which("curl") is None:
        pytest.skip("the script needs bash and curl")
    return Cluster(folder)


@pytest.mark.parametrize("name", ["quickstart", "vllm", "ray-own", "replicas", "policy-and-judge", "vllm-cpu"])
def test_scripts_of_all_examples_are_valid(gymctl: Gymctl, folder: Path, name: str) -> None:
    rendered = gymctl("render", assets.folder("examples") / name, "--target", "slurm", "-o", "stack.sbatch")
    assert rendered.code == 0, rendered.err
    checked = subprocess.run(["bash", "-n", "stack.sbatch"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "submit it: sbatch stack.sbatch" in rendered.err


def test_a_component_for_each_block_of_gpus(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(WITH_MODEL)
    text = gymctl("render", "stack.yaml", "--target", "slurm", "--cpu-nodes", "2").out
    header = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")]
    cpu = ["--job-name=trial", "--nodes=2", "--ntasks-per-node=1", "--exclusive"]
    assert header == [*cpu, "hetjob", "--ntasks=2", "--gpus-per-task=4"]
    assert text.count("srun --het-group=1") == 2


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (GOOD, ["--cpu-nodes", "3"], "3 CPU nodes, but only 1 environments to distribute; use --cpu-nodes 2 or fewer"),
        (GOOD.replace("domain: agent", "domain: agent, host: 10.0.0.5"), [], "remove `host`"),
        (GOOD, ["--publish", "10.0.0.5"], "--publish is for containers"),
        (GOOD, ["--gym-version", "0.4.0"], "--gym-version is for containers"),
        (GOOD, ["+policy_api_key=sk-secret-value-1"], "policy_api_key holds a secret, which would be in the script"),
    ],
)
def test_what_a_job_cannot_be_is_refused(
    gymctl: Gymctl, folder: Path, text: str, options: list[str], message: str
) -> None:
    (folder / "stack.yaml").write_text(text)
    refused = gymctl("render", "stack.yaml", "--target", "slurm", *options)
    assert refused.code == 2
    assert message in refused.err
    assert refused.out == ""


def test_cpu_nodes_are_for_slurm(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    assert "--cpu-nodes is for --target slurm" in gymctl("render", "stack.yaml", "--cpu-nodes", "2").err


def test_a_rendered_script_may_be_rendered_again_and_another_file_not(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    command = ["render", "stack.yaml", "--target", "slurm", "-o", "stack.sbatch"]
    assert [gymctl(*command).code, gymctl(*command).code] == [0, 0]
    (folder / "stack.sbatch").write_text("#!/bin/bash\necho mine\n")
    assert "was not written by gymctl" in gymctl(*command).err


@pytest.mark.processes
@pytest.mark.enable_socket
def test_a_job_on_two_nodes_collects_and_leaves_nothing(gymctl: Gymctl, cluster: Cluster) -> None:
    shutil.copy(EXAMPLE / "rows.jsonl", cluster.folder / "rows.jsonl")
    script = cluster.folder / "stack.sbatch"
    rendered = gymctl("render", EXAMPLE, "--target", "slurm", "--cpu-nodes", "2", "-o", script)
    assert rendered.code == 0, rendered.err
    collect = ["gymctl", "collect", "--input", "rows.jsonl", "--output", "out.jsonl", "--order", "input"]
    done = cluster.run(script, "127.0.0.1,127.0.0.2", *collect)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in (cluster.folder / "job" / "head" / "out.jsonl").read_text().splitlines()]
    assert [row["reward"] for row in results] == REWARDS
    assert "environments-1" in cluster.log.read_text()
    assert stat.S_IMODE((cluster.folder / "job" / "head-token").stat().st_mode) == 0o600
    assert cluster.processes() == []


@pytest.mark.processes
@pytest.mark.enable_socket
def test_models_and_ray_are_started_and_joined(gymctl: Gymctl, cluster: Cluster) -> None:
    (cluster.folder / "stack.yaml").write_text(WITH_MODEL + "ray: {}\n")
    row = {"responses_create_params": {"input": "hello"}, "agent_ref": {"name": "my_agent"}}
    (cluster.folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    script = cluster.folder / "stack.sbatch"
    assert gymctl("render", "stack.yaml", "--target", "slurm", "--cpu-nodes", "2", "-o", script).code == 0
    collect = ["gymctl", "collect", "--input", "rows.jsonl", "--output", "out.jsonl", "--num-repeats", "8"]
    done = cluster.run(script, "127.0.0.1,127.0.0.2", *collect)
    assert done.returncode == 0, done.stdout + done.stderr
    results = (cluster.folder / "job" / "head" / "out.jsonl").read_text().splitlines()
    assert len(results) == 8
    log = cluster.log.read_text().splitlines()
    started = [json.loads(line.removeprefix("vllm ")) for line in log if line.startswith("vllm ")]
    assert [words[:5] for words in started] == [
        ["b c", "serve", "org/it's a model", "--served-model-name", "org/it's a model"]
    ] * 2
    assert len({words[words.index("--port") + 1] for words in started}) == 2
    ray = [line for line in log if line.startswith("ray ")]
    assert any("--head" in line for line in ray)
    assert any("--address=127.0.0.1:6379" in line for line in ray)
    assert cluster.processes() == []


@pytest.mark.processes
@pytest.mark.enable_socket
def test_a_job_without_a_command_runs_until_it_is_cancelled(gymctl: Gymctl, cluster: Cluster) -> None:
    script = cluster.folder / "stack.sbatch"
    assert gymctl("render", EXAMPLE, "--target", "slurm", "-o", script).code == 0
    job = subprocess.Popen(
        ["bash", str(script)], cwd=cluster.folder, env=cluster.environ("127.0.0.1"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (cluster.folder / "job" / "head" / "ready").exists():
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}/") as reply:
            assert reply.status == 200
        assert cluster.processes()
    finally:
        job.send_signal(signal.SIGTERM)
        job.wait(60)
    assert cluster.processes() == []


@pytest.mark.processes
def test_a_server_that_does_not_start_ends_the_job(gymctl: Gymctl, cluster: Cluster) -> None:
    (cluster.folder / "stack.yaml").write_text(GOOD)
    script = cluster.folder / "stack.sbatch"
    assert gymctl("render", "stack.yaml", "--target", "slurm", "-o", script).code == 0
    (cluster.folder / "stack.yaml").write_text(GOOD.replace("name: weather", "name: wether"))
    done = cluster.run(script, "127.0.0.1")
    assert done.returncode == 1
    assert "wether" in done.stderr
    assert "a step ended while the job waited for the head" in done.stderr


@pytest.mark.processes
def test_an_allocation_with_too_few_nodes_is_refused(gymctl: Gymctl, cluster: Cluster) -> None:
    (cluster.folder / "stack.yaml").write_text(GOOD)
    script = cluster.folder / "stack.sbatch"
    assert gymctl("render", "stack.yaml", "--target", "slurm", "--cpu-nodes", "2", "-o", script).code == 0
    done = cluster.run(script, "127.0.0.1")
    assert (done.returncode, cluster.log.read_text()) == (1, "")
    assert "error: 1 CPU nodes, but the stack needs 2; submit with --nodes=2" in done.stderr
