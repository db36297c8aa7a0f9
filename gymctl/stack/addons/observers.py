"""Prometheus and Alertmanager as services of a stack with ``observe: true``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from gymctl.config import Config
from gymctl.config.blocks.observation import ObserveKeys
from gymctl.config.nested import with_texts
from gymctl.config.vocabulary import ALERTMANAGER_PORT, EVERY_INTERFACE, LOOPBACK, OBSERVE_KEY
from gymctl.stack.addons.monitoring import (
    ALERTS,
    VLLM_ALERTS,
    alertmanager_configuration,
    container_targets,
    prometheus_configuration,
    rule_files,
    static_targets,
    template,
)
from gymctl.stack.compose.fragments import fragment
from gymctl.stack.compose.model import Mount, Service
from gymctl.stack.images import ImageChoice
from gymctl.stack.placement import node_placement
from gymctl.stack.service import ALERTMANAGER_KIND, PROMETHEUS_KIND, ServicePlan
from gymctl.stack.service_names import ALERTMANAGER_SERVICE, PROMETHEUS_SERVICE
from gymctl.stack.slices.host_gateway import EXTRA_HOST, GATEWAY, reroute_address

PROMETHEUS_PORT = 9090
_CONFIGURATION_SECRET = "gymctl-alertmanager"  # noqa: S105 - the name of a secret
"""Alertmanager's configuration; lower case, so that no variable is made of it."""
_VARIABLES = {ALERTS: "GYMCTL_ALERTS", VLLM_ALERTS: "GYMCTL_VLLM_ALERTS"}
"""The variable with the content of each file of alerts, as in ``compose/prometheus.yaml``."""
_SINGLE = "its data is in one volume"
_IMAGE = "observe"


@dataclass(frozen=True)
class Observers:
    """The services that watch a stack, and what their containers get as secrets: name -> value."""

    services: tuple[ServicePlan, ...]
    secrets: Mapping[str, str]


def observers(config: Config, choice: ImageChoice, watched: Iterable[ServicePlan]) -> Observers:
    """Prometheus and Alertmanager for the services ``watched``; none where ``observe`` has none, and on a worker."""
    keys = config.observe
    if keys is None or not keys.services or config.is_worker:
        return Observers((), {})
    token = metrics_token(config)
    configuration = yaml.safe_dump(with_texts(alertmanager_configuration(keys), _from_container), sort_keys=False)
    prometheus = _prometheus(keys, choice, watched, next(iter(token), ""))
    alertmanager = _alertmanager(keys, choice, calls_machine=GATEWAY in configuration)
    placement = node_placement(config.placements.of("addons"))
    services = tuple(replace(service, placement=placement) for service in (prometheus, alertmanager))
    return Observers(services, {**token, _CONFIGURATION_SECRET: configuration})


def _from_container(text: str) -> str:
    """A URL of this machine as a container dials it; other texts as they are."""
    if "://" not in text:
        return text
    return reroute_address(text, GATEWAY) or text


def metrics_token(config: Config) -> dict[str, str]:
    """The secret that ``/metrics`` requires, as its name and value; empty: it requires none."""
    token = config.observe.token if config.observe else None
    if token is None:
        return {}
    return {name: value for name, value in config.secrets.items() if value == token}


def add_token_to_head(config: Config, data: dict[str, Any]) -> tuple[str, ...]:
    """Add to the head's slice the reference to the token that ``/metrics`` requires; returns the secret's name."""
    names = tuple(metrics_token(config))
    for name in names:
        data[OBSERVE_KEY] = {"token": f"${{oc.env:{name}}}"}
    return names


def _prometheus(keys: ObserveKeys, choice: ImageChoice, watched: Iterable[ServicePlan], token: str) -> ServicePlan:
    """Prometheus. Without a published port it answers in its own container only, so that no server can ask it."""
    targets = tuple(container_targets(watched))
    configuration = prometheus_configuration(
        targets,
        stack=static_targets(targets),
        token_file=f"/run/secrets/{token}" if token else "",
        alertmanager=f"{ALERTMANAGER_SERVICE}:{ALERTMANAGER_PORT}",
    )
    address = EVERY_INTERFACE if keys.port else LOOPBACK
    return ServicePlan(
        name=PROMETHEUS_SERVICE,
        kind=PROMETHEUS_KIND,
        implementation=PROMETHEUS_KIND,
        image=keys.prometheus_image or choice.addon(_IMAGE),
        port=PROMETHEUS_PORT,
        command=(
            "--config.file=/tmp/prometheus.yaml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={keys.retention}",
            f"--web.listen-address={address}:{PROMETHEUS_PORT}",
        ),
        environment=(
            ("GYMCTL_PROMETHEUS", configuration),
            *((_VARIABLES[name], template(name).decode()) for name in rule_files(targets)),
        ),
        secrets=(token,) if token else (),
        published=((LOOPBACK, keys.port, PROMETHEUS_PORT),) if keys.port else (),
        egress=keys.port is not None,
        volumes=(Mount(type="volume", source="prometheus", target="/prometheus"),),
        fragment=_fragment("prometheus", keys.prometheus_image),
        start_period="60s",
        single=_SINGLE,
    )


def _alertmanager(keys: ObserveKeys, choice: ImageChoice, *, calls_machine: bool) -> ServicePlan:
    """Alertmanager, with outbound access where it has receivers; ``calls_machine``: one of them is on this machine."""
    has_receivers = keys.webhook is not None or keys.alertmanager is not None
    return ServicePlan(
        name=ALERTMANAGER_SERVICE,
        kind=ALERTMANAGER_KIND,
        implementation=ALERTMANAGER_KIND,
        image=keys.alertmanager_image or choice.addon(_IMAGE),
        port=ALERTMANAGER_PORT,
        command=(
            f"--config.file=/run/secrets/{_CONFIGURATION_SECRET}",
            "--storage.path=/alertmanager",
            "--cluster.listen-address=",
            f"--web.listen-address=:{ALERTMANAGER_PORT}",
        ),
        secrets=(_CONFIGURATION_SECRET,),
        egress=has_receivers,
        extra_hosts=(EXTRA_HOST,) if calls_machine else (),
        volumes=(Mount(type="volume", source="alertmanager", target="/alertmanager"),),
        fragment=_fragment("alertmanager", keys.alertmanager_image),
        start_period="60s",
        single=_SINGLE,
    )


def _fragment(name: str, image: str | None) -> Service:
    """The definition of ``compose/<name>.yaml``; an image of the user's own may be anywhere."""
    own = fragment(name)
    if image is None:
        return own
    return own.model_copy(update={"pull_policy": "missing"})
