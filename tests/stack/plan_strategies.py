"""Configurations made by hand, without files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gymctl import assets
from gymctl.config import Config, Head, Location, Reference, ServerInstance, ServerKind

BUNDLED = assets.folder("services")
MODEL, AGENT, RESOURCES = ServerKind.MODEL, ServerKind.AGENT, ServerKind.RESOURCES
BUNDLED_IMPLEMENTATIONS = {
    MODEL: "openai_model",
    AGENT: "simple_agent",
    RESOURCES: "example_multi_step",
    ServerKind.ENVIRONMENT: "single_agent_turn",
}


def ref(kind: ServerKind, name: str) -> dict[str, str]:
    return {"type": kind.value, "name": name}


def _references(value: Any, path: tuple[Any, ...] = ()) -> Iterator[Reference]:
    if isinstance(value, dict) and set(value) == {"type", "name"}:
        yield Reference(path, ServerKind(value["type"]), value["name"])
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _references(item, (*path, key))


def server(
    name: str,
    kind: ServerKind = RESOURCES,
    fields: Mapping[str, Any] | None = None,
    *,
    implementation: str = "",
    folder: Path | None = None,
    has_code: bool = True,
) -> ServerInstance:
    implementation = implementation or BUNDLED_IMPLEMENTATIONS[kind]
    whole = {"entrypoint": "app.py", **(fields or {})}
    return ServerInstance(
        name=name,
        kind=kind,
        implementation=implementation,
        entrypoint=whole["entrypoint"],
        host=whole.get("host"),
        port=whole.get("port"),
        fields=whole,
        references=tuple(_references(whole)),
        num_workers=None,
        location=Location("stack.yaml", 7, 1),
        replicas=whole.get("replicas", 1),
        folder=(folder or BUNDLED / kind.value / implementation) if has_code else None,
    )


def config(
    *servers: ServerInstance,
    secrets: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    head: Head | None = None,
) -> Config:
    return Config(
        servers={one.name: one for one in servers},
        head=head or Head(),
        values=values or {},
        secrets=secrets or {},
        bundled=BUNDLED,
    )


def weather(**more: Any) -> Config:
    """A policy, an environment and its agent; a judge that nobody refers to."""
    return config(
        server("policy", MODEL, {"openai_api_key": "sk-policy-secret", "openai_base_url": "https://api.test/v1"}),
        server("weather", RESOURCES, {"domain": "agent", "limit": 3}),
        server(
            "weather_agent",
            AGENT,
            {"resources_server": ref(RESOURCES, "weather"), "model_server": ref(MODEL, "policy"), "max_steps": 5},
        ),
        server("judge", MODEL, {"openai_api_key": "sk-judge-secret", "openai_base_url": "https://judge.test/v1"}),
        **{"secrets": {"GYM_POLICY_KEY": "sk-policy-secret", "GYM_JUDGE_KEY": "sk-judge-secret"}, **more},
    )


def recipe(environments: int) -> Config:
    """A policy, a judge, and ``environments`` environments with an agent each."""
    servers = [
        server(name, MODEL, {"openai_base_url": "http://gpu:8000/v1", "openai_api_key": f"sk-{name}-0123456789"})
        for name in ("policy", "judge")
    ]
    for number in range(environments):
        fields = {"domain": "math", "judge": ref(MODEL, "judge"), "prompt": f"Be fair, number {number}.\n" * 8}
        servers.append(server(f"env_{number}", RESOURCES, fields))
        pair = {"resources_server": ref(RESOURCES, f"env_{number}"), "model_server": ref(MODEL, "policy")}
        servers.append(server(f"env_{number}_agent", AGENT, {**pair, "datasets": [{"name": "x", "num_repeats": 1}]}))
    secrets = {"GYM_POLICY_KEY": "sk-policy-0123456789", "GYM_JUDGE_KEY": "sk-judge-0123456789"}
    return config(*servers, secrets=secrets)
