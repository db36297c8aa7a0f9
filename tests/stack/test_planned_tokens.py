"""A planned stack with ``tokens: true``: each token is where it is needed, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import Config, Membership, Role
from gymctl.config.blocks.edge import EdgeKeys
from gymctl.config.blocks.hop_tokens import HopTokens
from gymctl.config.exposure import Exposure
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack
from gymctl.stack.addons.tls_edge import EdgeIdentity
from gymctl.stack.audit.compose_file import stack_of_text
from gymctl.stack.audit.evaluation import Audit, evaluate
from gymctl.stack.hop_tokens import token_owners, with_hop_tokens
from gymctl.stack.swarm import render_swarm

NAMES = ("head_server", "policy", "judge", "tools", "one", "other env")
TOKENS = {name: (f"token-of-{name.replace(' ', '-')}", f"next-of-{name.replace(' ', '-')}") for name in NAMES}


def stack(*, has_tokens: bool = True, **agent: Any) -> Config:
    peers = {"resources_server": ref(RESOURCES, "tools"), "model_server": ref(MODEL, "policy")}
    whole = config(
        server("policy", MODEL),
        server("judge", MODEL, implementation="scripted_model"),
        server("tools", RESOURCES, {"judge": ref(MODEL, "judge"), "replicas": 2}),
        server("one", AGENT, {**peers, **agent}),
        server("other env", RESOURCES),
    )
    return replace(whole, tokens=has_tokens)


def planned(whole: Config, **options: Any) -> StackPlan:
    plan = plan_stack(whole, name="demo", options=StackOptions(version="1", **options))
    return with_hop_tokens(plan, whole, TOKENS)


def files(plan: StackPlan) -> dict[str, HopTokens]:
    """What each service can read, by its title."""
    found = {}
    for service in plan.services:
        names = [name for name in service.secrets if name.startswith("gymctl-tokens")]
        if names:
            (name,) = names
            found[service.title] = HopTokens.parse(plan.secrets[name])
    return found


def test_without_the_key_nothing_changes() -> None:
    whole = stack(has_tokens=False)
    plan = plan_stack(whole, name="demo", options=StackOptions(version="1"))
    assert token_owners(whole) == ()
    assert with_hop_tokens(plan, whole, {}) is plan


def test_a_server_has_its_own_token_and_those_of_the_servers_that_it_names() -> None:
    plan = planned(stack(), policy_token="p" * 16)
    assert token_owners(stack()) == NAMES
    assert {title: set(file.calls) for title, file in files(plan).items()} == {
        "head": set(),
        "policy": {"head_server"},  # it watches its endpoints
        "judge": set(),
        "tools": {"judge"},
        "one": {"tools", "policy"},
        "other env": set(),
    }
    for title, file in files(plan).items():
        assert file.accepts == TOKENS["head_server" if title == "head" else title]
        assert all(tokens == TOKENS[name][:1] for name, tokens in file.calls.items())
    assert HopTokens.parse(plan.secrets["gymctl-tokens"]).calls == TOKENS


def test_the_configuration_of_a_server_that_may_call_all_names_all() -> None:
    plan = planned(stack(slice="full"))
    assert set(files(plan)["one"].calls) == {"policy", "judge", "tools", "other env"}


@pytest.mark.parametrize("is_swarm", [False, True])
def test_no_token_is_in_a_rendered_file_or_a_representation(is_swarm: bool) -> None:
    plan = planned(stack(), policy_token="p" * 16, is_swarm=is_swarm)
    text = render_swarm(plan).text if is_swarm else render_stack(plan)
    for shown in (text, repr(plan)):
        assert not [token for tokens in TOKENS.values() for token in tokens if token in shown]
    services = yaml.safe_load(text)["services"]
    mounted = {name: [_source(item) for item in service.get("secrets", ())] for name, service in services.items()}
    for name, secrets in mounted.items():
        assert [item for item in secrets if "tokens" in item] == [f"gymctl-tokens-{name}"]
        assert services[name]["environment"]["GYMCTL_TOKENS_FILE"] == f"/run/secrets/gymctl-tokens-{name}"


def _source(secret: Any) -> str:
    return secret if isinstance(secret, str) else secret["source"]


def test_the_edge_adds_the_token_of_the_server_that_is_called() -> None:
    whole = replace(stack(), edge=EdgeKeys.model_validate({"servers": ["one", "other env"]}))
    identity = EdgeIdentity(token="the-token", certificate="the-certificate", token_file="TOKEN", ca_file="CA")
    plan = planned(whole, edge=identity)
    assert files(plan)["gymctl-edge"] == HopTokens(
        calls={name: TOKENS[name][:1] for name in ("head_server", "one", "other env")}
    )
    edge = next(service for service in plan.services if service.kind == "edge")
    proxy = dict(edge.environment)["GYMCTL_PROXY"]
    path = "/run/secrets/gymctl-tokens-gymctl-edge"
    for key in ("head_server", "one", "other%20env"):
        assert f"http-request set-var(txn.inner) str({key}),map({path})" in proxy
    without = planned(replace(whole, tokens=False), edge=identity)
    assert (
        "x-gymctl-token"
        not in dict(next(item for item in without.services if item.kind == "edge").environment)["GYMCTL_PROXY"]
    )


def test_clients_of_exposed_servers_are_told_what_to_send() -> None:
    plan = planned(stack(), exposure=Exposure(servers=("one",)))
    assert "clients of one must send x-gymctl-token: see gymctl secrets token one" in plan.notes
    assert not [note for note in plan.notes if "no token" in note]


def test_servers_of_nemo_gym_that_call_others_are_refused_with_what_to_do(tmp_path: Path) -> None:
    code = tmp_path / "responses_api_agents" / "simple_agent"
    code.mkdir(parents=True)
    (code / "app.py").write_text("from nemo_gym.base_responses_api_agent import SimpleResponsesAPIAgent\n")
    whole = config(
        server("policy", MODEL), server("theirs", AGENT, {"model_server": ref(MODEL, "policy")}, folder=code)
    )
    with pytest.raises(ConfigError, match=r"theirs runs on NeMo Gym and sends no token to policy") as caught:
        planned(replace(whole, tokens=True))
    assert "runtime: gymctl" in str(caught.value)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_proxy_checks_the_tokens_of_a_server_of_nemo_gym(replicas: int) -> None:
    tools = replace(server("tools", RESOURCES, {"replicas": replicas}), runtime="nemo-gym", folder=None)
    peers = {"resources_server": ref(RESOURCES, "tools"), "model_server": ref(MODEL, "policy")}
    whole = replace(config(server("policy", MODEL), tools, server("one", AGENT, peers)), tokens=True)
    plan = planned(whole)
    assert files(plan)["tools"] == HopTokens(TOKENS["tools"])
    assert set(files(plan)["one"].calls) == {"tools", "policy"}
    services = {service.name: service for service in plan.services}
    assert (services["tools"].implementation, services["tools-replica"].replicas) == ("proxy", replicas)
    assert not services["tools-replica"].secrets
    proxy = dict(services["tools"].environment)["GYMCTL_PROXY"]
    assert "http-request set-var(txn.accepted1) str(:accepts-1),map(/run/secrets/gymctl-tokens-tools)" in proxy
    assert [note for note in plan.notes if "a proxy checks the tokens of calls to tools" in note]
    shared = set(services["one"].stack_networks) & set(services["tools-replica"].stack_networks)
    assert not shared  # nobody but the proxy, and the head, reaches it


def test_several_machines_are_refused() -> None:
    member = Membership(role=Role.COORDINATOR, token="t" * 16, node="here")
    with pytest.raises(ConfigError, match="tokens is not available with --role"):
        planned(replace(stack(), membership=member))


def _audited(whole: Config) -> Audit:
    return evaluate(stack_of_text(render_stack(planned(whole)), "compose.yaml", Path("/nowhere")))


def test_the_audit_finds_what_is_protected() -> None:
    rules = {"tokens-between-servers", "head-without-token"}
    before, after = _audited(stack(has_tokens=False)), _audited(stack())
    missing = {finding.rule.id for finding in before.findings} - {finding.rule.id for finding in after.findings}
    assert missing == rules
    assert after.score == before.score + 5


def test_the_audit_names_a_server_without_a_token() -> None:
    document = yaml.safe_load(render_stack(planned(stack())))
    document["services"]["tools"]["secrets"] = []
    audit = evaluate(stack_of_text(yaml.safe_dump(document), "compose.yaml", Path("/nowhere")))
    (finding,) = [item for item in audit.findings if item.rule.id == "tokens-between-servers"]
    assert [evidence.subject for evidence in finding.evidence] == ["tools"]
