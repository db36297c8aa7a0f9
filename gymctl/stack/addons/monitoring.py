"""The files for a Prometheus that watches a stack: what to scrape, alerts, and a dashboard for Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gymctl import assets
from gymctl.config.blocks.observation import ObserveKeys
from gymctl.config.vocabulary import COLLECTOR_ALIAS, COLLECTOR_PORT, LOOPBACK
from gymctl.stack.addons.haproxy import HEALTH_PORT
from gymctl.stack.addons.nemo_gym import GYM_ROOT
from gymctl.stack.service import ServicePlan

FOLDER = "observability"
_JOB = "gymctl"
_COLLECTOR_JOB = "gymctl-collector"
_VLLM_JOB = "vllm"
ALERTS = "alerts.yaml"
VLLM_ALERTS = "vllm-alerts.yaml"
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


def monitoring_files(
    targets: Iterable[ScrapeTarget], *, token_file: str = "", alertmanager: str = ""
) -> Mapping[str, bytes]:
    """The files for a user's own Prometheus by path, relative to the rendered one.

    Args:
        targets: what to scrape.
        token_file: path of the file with the token that targets require; empty: they require none.
        alertmanager: address of an Alertmanager, as ``HOST:PORT``; empty: none.
    """
    listed = tuple(targets)
    names = rule_files(listed)
    files = {name: template(name) for name in (*names, "dashboard.json")}
    files["targets.json"] = (json.dumps(_targets_with_one_address(listed), indent=2) + "\n").encode()
    configuration = prometheus_configuration(
        listed,
        stack={"file_sd_configs": [{"files": ["targets.json"]}]},
        token_file=token_file,
        alertmanager=alertmanager,
    )
    files["prometheus.yaml"] = configuration.encode()
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def rule_files(targets: Iterable[ScrapeTarget]) -> list[str]:
    """Names of the files of alerts for these targets."""
    if any(target.job == _VLLM_JOB for target in targets):
        return [ALERTS, VLLM_ALERTS]
    return [ALERTS]


def template(name: str) -> bytes:
    """A file of ``templates/observability``."""
    return (assets.folder("templates") / "observability" / name).read_bytes()


def static_targets(targets: Iterable[ScrapeTarget]) -> dict[str, Any]:
    """The targets with one address, as a part of a scrape configuration that needs no file."""
    return {"static_configs": _targets_with_one_address(targets)}


def prometheus_configuration(
    targets: Iterable[ScrapeTarget], *, stack: Mapping[str, Any], token_file: str = "", alertmanager: str = ""
) -> str:
    """Prometheus's own configuration; replicas are found by the stack's DNS, under one name each.

    Args:
        targets: what to scrape.
        stack: how targets with one address are found.
        token_file: path of the file with the token that targets require; empty: they require none.
        alertmanager: address of the Alertmanager, as ``HOST:PORT``; empty: none.
    """
    listed = tuple(targets)
    authorization: dict[str, Any] = {}
    if token_file:
        authorization = {"authorization": {"credentials_file": token_file}}
    scrapes: list[dict[str, Any]] = [{"job_name": "gymctl-stack", **stack, **authorization}]
    for target in listed:
        if target.replicas > 1:
            names = {"names": [target.host], "type": "A", "port": target.port, "refresh_interval": _SCRAPE_EVERY}
            label = [{"target_label": "job", "replacement": target.job}]
            scrapes.append(
                {
                    "job_name": f"replicas-{target.host}",
                    "dns_sd_configs": [names],
                    "relabel_configs": label,
                    **authorization,
                }
            )
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": _SCRAPE_EVERY, "evaluation_interval": _EVALUATE_EVERY},
        "rule_files": rule_files(listed),
        "scrape_configs": scrapes,
    }
    if alertmanager:
        configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return yaml.safe_dump(configuration, sort_keys=False)


def alertmanager_text(keys: ObserveKeys) -> str:
    """Alertmanager's own configuration as YAML, with addresses as this machine dials them."""
    return yaml.safe_dump(alertmanager_configuration(keys), sort_keys=False)


def alertmanager_configuration(keys: ObserveKeys) -> dict[str, Any]:
    """Alertmanager's own configuration: the user's, else one that posts to the webhook, if there is one."""
    if keys.alertmanager is not None:
        return keys.alertmanager
    receiver: dict[str, Any] = {"name": "webhook"}
    if keys.webhook is not None:
        receiver["webhook_configs"] = [{"url": keys.webhook}]
    route = {"receiver": "webhook", "group_by": ["alertname"], "group_wait": "10s", "group_interval": "1m"}
    return {"route": route, "receivers": [receiver]}


def _targets_with_one_address(targets: Iterable[ScrapeTarget]) -> list[dict[str, Any]]:
    """Targets with one address, as Prometheus takes them from a file (``file_sd``) or in its configuration."""
    by_job: dict[str, list[str]] = {}
    for target in targets:
        if target.replicas == 1:
            by_job.setdefault(target.job, []).append(f"{target.host}:{target.port}")
    return [{"targets": addresses, "labels": {"job": job}} for job, addresses in by_job.items()]
