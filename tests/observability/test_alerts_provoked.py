"""Each alert provoked once for real: servers and collections misbehave, Prometheus notices, Alertmanager posts it.

The rules are those of a stack, with shorter windows and waits. Only vLLM's figures and those of GPUs come from an
exporter of this test, which serves the metrics that vLLM and NVIDIA's DCGM exporter have: neither needs a GPU here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml
from alert_receiver import AlertReceiver, receiving
from free_ports import free_port
from misbehaving_stack import rows, write_stack
from observed_stack import COMMAND, gymctl

from gymctl import assets

pytestmark = pytest.mark.slow

RULES = assets.folder("templates") / "observability"
FILES = ("alerts.yaml", "vllm-alerts.yaml")
SHORTER = {"[5m]": "[10s]", "[10m]": "[15s]", "[15m]": "[30s]"}


def shorter(text: str) -> str:
    """The rules with the same expressions over shorter times."""
    for before, after in SHORTER.items():
        text = text.replace(before, after)
    text = re.sub(r"for: \d+m", "for: 1s", text)
    assert not re.search(r"\[\d+m\]|for: \d+[mh]", text)
    return text


def alert_names() -> set[str]:
    groups = [group for name in FILES for group in yaml.safe_load((RULES / name).read_text())["groups"]]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


@contextmanager
def process(arguments: list[str], folder: Path, log: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended afterwards, and its output in a file."""
    with (folder / log).open("w") as output:
        started = subprocess.Popen(
            arguments, cwd=folder, stdout=output, stderr=output, env={**os.environ, "GOMAXPROCS": "1", **environ}
        )
        try:
            yield started
        finally:
            started.terminate()
            with suppress(subprocess.TimeoutExpired):
                started.wait(20)
            started.kill()
            started.wait()


def server(folder: Path, kind: str, implementation: str, port: int, **more: Any) -> dict[str, str]:
    """The environment of a server that is a process of its own, as in a container."""
    fields = {"entrypoint": "app.py", "host": "127.0.0.1", "port": port, "domain": "agent"}
    whole = {"observe": True, "alone": {kind: {implementation: fields}}, **more}
    return {"NEMO_GYM_CONFIG_PATH": "alone", "NEMO_GYM_CONFIG_DICT": yaml.safe_dump(whole)}


def post(port: int, path: str, cookie: str = "") -> tuple[int, str]:
    """The status of a server's reply, and the cookies that it sets; 0: none came."""
    headers = {"content-type": "application/json", **({"cookie": cookie} if cookie else {})}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b"{}", headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, str(reply.headers["set-cookie"] or "").partition(";")[0]
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


def wait_for(port: int, path: str) -> str:
    """Wait until a server answers; the cookie that it sets."""
    deadline = time.monotonic() + 120
    while True:
        status, cookie = post(port, path)
        if status == 200:
            return cookie
        assert time.monotonic() < deadline, status
        time.sleep(0.1)


def misuse(folder: Path, port: int, receiver: AlertReceiver) -> None:
    """Have a server fail, be slow, lose sessions, and start again and again."""
    environ = server(folder, "resources_servers", "env", port)
    code = folder / "resources_servers" / "env"
    command = [sys.executable, "app.py"]
    with process(command, code, "first.log", **environ):
        cookie = wait_for(port, "/seed_session")
        slow = {"GymctlServerErrors", "GymctlRateLimited", "GymctlEnvironmentSlow", "GymctlEventLoopLag"}
        for _ in receiver.until(slow):
            for path in ("/explode", "/limited", "/block"):
                post(port, path)
    with process(command, code, "second.log", **environ):
        wait_for(port, "/seed_session")
        for _ in receiver.until({"GymctlSessionsLost"}):
            post(port, "/remember", cookie)
            time.sleep(0.05)
    for _ in receiver.until({"GymctlServerRestarting"}):
        with process(command, code, "again.log", **environ):
            wait_for(port, "/seed_session")
            time.sleep(2.0)


@contextmanager
def exporter() -> Iterator[int]:
    """The port of an exporter with figures of vLLM and of an idle GPU."""
    registry = prometheus_client.CollectorRegistry()

    def gauge(name: str, value: float, **labels: str) -> None:
        """One series with a value."""
        series = prometheus_client.Gauge(name, "of the test", list(labels), registry=registry)
        (series.labels(**labels) if labels else series).set(value)

    gauge("vllm:kv_cache_usage_perc", 0.99)
    gauge("vllm:num_requests_waiting", 9)
    gauge("vllm:num_requests_running", 4)
    gauge("DCGM_FI_DEV_GPU_UTIL", 3, gpu="0")
    counter = prometheus_client.Counter("vllm:num_preemptions", "of the test", registry=registry)
    port = free_port()
    web, thread = prometheus_client.start_http_server(port, "127.0.0.1", registry)
    over = threading.Event()

    def count() -> None:
        """Preempt a request each half second."""
        while not over.wait(0.5):
            counter.inc()

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield port
    finally:
        over.set()
        counting.join()
        web.shutdown()
        web.server_close()
        thread.join()


def write_monitoring(folder: Path, jobs: dict[str, list[int]], receiver: int, alertmanager: int) -> None:
    """The configurations of Prometheus and Alertmanager, and the rules."""
    for name in FILES:
        (folder / name).write_text(shorter((RULES / name).read_text()))
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
        for job, ports in jobs.items()
    ]
    prometheus = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": list(FILES),
        "scrape_configs": scrapes,
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
    }
    route = {"receiver": "test", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}
    receivers = [{"name": "test", "webhook_configs": [{"url": f"http://127.0.0.1:{receiver}/"}]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(prometheus))
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump({"route": route, "receivers": receivers}))


def full_disk(command: list[str], folder: Path) -> list[str]:
    """The command in a mount namespace of its own, where the folder is a file system with little space left."""
    script = 'mount -t tmpfs -o size=4m none "$1" && head -c 3900000 /dev/zero > "$1/filling" && shift && exec "$@"'
    for options in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        own = ["unshare", *options, "sh", "-c", script, "sh", str(folder)]
        if shutil.which("unshare") and subprocess.run([*own, "true"], check=False, capture_output=True).returncode == 0:
            return [*own, *command]
    pytest.skip("this user may not mount a file system in a namespace of its own")


def test_every_alert_fires_and_reaches_a_webhook(tmp_path: Path, prometheus: str, alertmanager: str) -> None:
    write_stack(tmp_path)
    missing, alone, lonely_head, alerting, web, *collections = (free_port() for _ in range(8))
    head = {"head_server": {"host": "127.0.0.1", "port": lonely_head}}
    gone = server(tmp_path, "resources_servers", "env", missing, **head)
    (tmp_path / "disk").mkdir()
    with ExitStack() as stack:
        receiver = stack.enter_context(receiving())
        figures = stack.enter_context(exporter())
        servers = [alone, lonely_head]
        jobs = {"gymctl": servers, "gymctl-collector": collections, "vllm": [figures]}
        write_monitoring(tmp_path, jobs, receiver.port, alerting)
        data = [f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{web}"]
        stack.enter_context(process([prometheus, "--config.file=prometheus.yaml", *data], tmp_path, "prometheus.log"))
        options = ["--cluster.listen-address=", f"--storage.path={tmp_path / 'am'}"]
        options.append(f"--web.listen-address=127.0.0.1:{alerting}")
        command = [alertmanager, "--config.file=alertmanager.yaml", *options]
        stack.enter_context(process(command, tmp_path, "alertmanager.log"))
        receiver.wait_for({"GymctlNoMetrics", "GymctlServerDown"})

        gymctl(tmp_path, "up", "stack.yaml", "--engine", "local")
        stack.callback(gymctl, tmp_path, "down")
        collect(stack, tmp_path, collections)
        environ = {**gone, "NEMO_GYM_CONFIG_PATH": "head_server"}
        services = assets.folder("services")
        log = str(tmp_path / "head.log")
        stack.enter_context(process([sys.executable, "app.py"], services / "head", log, **environ))
        misuse(tmp_path, alone, receiver)
        receiver.wait_for(alert_names())


def collect(stack: ExitStack, folder: Path, ports: list[int]) -> None:
    """Collections that go wrong: rewards that change, an agent with an outage, one that hangs, on a full disk."""
    bad = tuple((mode, 60, 0.0) for mode in ("uncalled", "clumsy", "broken", "shaky", "truncated"))
    rows(folder / "many.jsonl", ("steady", 300, 1.0), *bad, ("steady", 3000, 0.0))
    rows(folder / "flaky.jsonl", ("flaky", 30, 1.0))
    rows(folder / "stuck.jsonl", ("stuck", 1, 1.0))
    command = [*COMMAND, "collect", "--no-report", "--num-repeats", "2", "-i"]
    many, flaky, stuck = map(str, ports)
    first = [*command, "many.jsonl", "-o", "many-out.jsonl", "--concurrency", "12"]
    stack.enter_context(process(first, folder, "many.log", GYMCTL_METRICS_PORT=many))
    second = [*command, "flaky.jsonl", "-o", "flaky-out.jsonl", "--concurrency", "60"]
    stack.enter_context(process(second, folder, "flaky.log", GYMCTL_METRICS_PORT=flaky))
    third = full_disk([*command, "stuck.jsonl", "-o", "disk/out.jsonl"], folder / "disk")
    stack.enter_context(process(third, folder, "stuck.log", GYMCTL_METRICS_PORT=stuck))
