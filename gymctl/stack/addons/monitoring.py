"""The files for a Prometheus that watches a stack: what to scrape, alerts, and a dashboard for Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gymctl import assets
from gymctl.config.vocabulary import COLLECTOR_ALIAS, COLLECTOR_PORT, LOOPBACK
from gymctl.stack.addons.haproxy import HEALTH_PORT
from gymctl.stack.addons.nemo_gym import GYM_ROOT
from gymctl.stack.service import ServicePlan

FOLDER = "observability"
_JOB = "gymctl"
_COLLECTOR_JOB = "gymctl-collector"
_VLLM_JOB = "vllm"
_SCRAPE_EVERY = "5s"
_EVALUATE_EVERY = "15s"


@dataclass(frozen=True)
class ScrapeTarget:
    """An address that answers ``/metrics``."""

    job: str
    """Prometheus's name for targets of one kind."""
    host: str
    port: int
    replicas: int = 1
    """With more than one, the host has as many addresses in the stack's DNS."""


def container_targets(services: Iterable[ServicePlan]) -> Iterator[ScrapeTarget]:
    """The targets on the network of a stack: servers of gymctl, proxies of replicas, vLLM, the collector."""
    for service in services:
        if service.implementation == "proxy":
            yield ScrapeTarget("gymctl-proxy", service.name, HEALTH_PORT)
        elif service.kind == "vllm" and not service.completes:
            yield ScrapeTarget(_VLLM_JOB, service.name, service.port, service.replicas)
        elif service.config_path and not service.working_dir.startswith(f"{GYM_ROOT}/"):
            yield ScrapeTarget(_JOB, service.name, service.port, service.replicas)
    yield ScrapeTarget(_COLLECTOR_JOB, COLLECTOR_ALIAS, COLLECTOR_PORT)


def local_targets(addresses: Iterable[tuple[str, int]], collector_port: int) -> Iterator[ScrapeTarget]:
    """The targets of a stack on this machine's loopback address, by the host and port of each server."""
    for host, port in addresses:
        yield ScrapeTarget(_JOB, host, port)
    yield ScrapeTarget(_COLLECTOR_JOB, LOOPBACK, collector_port)


def monitoring_files(targets: Iterable[ScrapeTarget]) -> Mapping[str, bytes]:
    """The files by path, relative to the rendered one."""
    listed = tuple(targets)
    rules = ["alerts.yaml"]
    if any(target.job == _VLLM_JOB for target in listed):
        rules.append("vllm-alerts.yaml")
    folder = assets.folder("templates") / "observability"
    files = {name: (folder / name).read_bytes() for name in (*rules, "dashboard.json")}
    files["targets.json"] = (json.dumps(_file_targets(listed), indent=2) + "\n").encode()
    files["prometheus.yaml"] = yaml.safe_dump(_configuration(listed, rules), sort_keys=False).encode()
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def _file_targets(targets: Iterable[ScrapeTarget]) -> list[dict[str, Any]]:
    """Targets with one address, as Prometheus reads them from a file (``file_sd``)."""
    by_job: dict[str, list[str]] = {}
    for target in targets:
        if target.replicas == 1:
            by_job.setdefault(target.job, []).append(f"{target.host}:{target.port}")
    return [{"targets": addresses, "labels": {"job": job}} for job, addresses in by_job.items()]


def _configuration(targets: Iterable[ScrapeTarget], rules: list[str]) -> dict[str, Any]:
    """Prometheus's own configuration; replicas are found by the stack's DNS, under one name each."""
    scrapes: list[dict[str, Any]] = [{"job_name": "gymctl-stack", "file_sd_configs": [{"files": ["targets.json"]}]}]
    for target in targets:
        if target.replicas > 1:
            names = {"names": [target.host], "type": "A", "port": target.port, "refresh_interval": _SCRAPE_EVERY}
            label = [{"target_label": "job", "replacement": target.job}]
            scrapes.append({"job_name": f"replicas-{target.host}", "dns_sd_configs": [names], "relabel_configs": label})
    return {
        "global": {"scrape_interval": _SCRAPE_EVERY, "evaluation_interval": _EVALUATE_EVERY},
        "rule_files": rules,
        "scrape_configs": scrapes,
    }
