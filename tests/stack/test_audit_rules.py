"""Every rule of the audit: what breaks it in a file, and that a stack without it has no such finding."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, server

from gymctl.config.vocabulary import EDGE_CERTIFICATE, EDGE_TOKEN
from gymctl.errors import InputError
from gymctl.stack import StackOptions, plan_stack, render_stack
from gymctl.stack.audit.compose_file import stack_of_document, stack_of_text
from gymctl.stack.audit.evaluation import RULES, Audit, evaluate
from gymctl.stack.audit.rule import Severity
from gymctl.stack.audit.subject import AuditedPort

pytestmark = pytest.mark.unit

Document = dict[str, Any]
Change = Callable[[Document], object]

DEFAULT_FINDINGS = {"tokens-between-servers", "unlocked-packages", "head-without-token", "head-egress"}
"""What this version does not protect in a stack without keys and without addresses outside."""


@cache
def _text() -> str:
    """Two environments with an agent each, and a scripted model: nothing that calls anything outside."""
    servers = [server("policy", MODEL, implementation="scripted_model")]
    for number in (1, 2):
        references = {
            "resources_server": {"type": RESOURCES.value, "name": f"env{number}"},
            "model_server": {"type": MODEL.value, "name": "policy"},
        }
        servers += [server(f"env{number}", RESOURCES), server(f"agent{number}", AGENT, references)]
    return render_stack(plan_stack(config(*servers), name="demo", options=StackOptions("1")))


def document(change: Change = lambda stack: None) -> Document:
    plain: Document = yaml.safe_load(_text())
    for item in plain["services"].values():  # a model of the user's without an address has a way out
        item["networks"] = {
            name: {} for name in item["networks"] if item is plain["services"]["head"] or name[0] != "s"
        }
    change(plain)
    return plain


def audited(change: Change = lambda stack: None, directory: Path = Path("/nowhere")) -> Audit:
    return evaluate(stack_of_text(yaml.safe_dump(document(change)), "compose.yaml", directory))


def ids(audit: Audit) -> set[str]:
    return {finding.rule.id for finding in audit.findings}


def put(service: str, **keys: Any) -> Change:
    """Set keys of a service."""
    return lambda stack: stack["services"][service].update(copy.deepcopy(keys))


def without(service: str, key: str) -> Change:
    return lambda stack: stack["services"][service].pop(key)


def variable(service: str, name: str, value: str) -> Change:
    return lambda stack: stack["services"][service]["environment"].update({name: value})


def join(service: str, network: str) -> Change:
    return lambda stack: stack["services"][service]["networks"].update({network: {}})


def sliced(service: str, text: str) -> Change:
    """Add settings to a service's part of the configuration."""

    def change(stack: Document) -> None:
        stack["services"][service]["environment"]["NEMO_GYM_CONFIG_DICT"] += text

    return change


def of_kind(kind: str, **keys: Any) -> Change:
    """Add a service of another kind."""

    def change(stack: Document) -> None:
        added = {"image": "gymctl-ray:1", "networks": {"env1-alone": {}}, **copy.deepcopy(keys)}
        stack["services"]["added"] = {**added, "labels": {"gymctl.kind": kind}}
        stack["networks"]["env1-alone"] = {"internal": True}

    return change


def edge(*secrets: str) -> Change:
    """Add a proxy that is published for other machines, and reads these secrets."""
    return of_kind("edge", ports=["10.0.0.1:8443:8443"], secrets=list(secrets))


def egress_proxy(server: str) -> Change:
    """Add the proxy of a server with a list of hosts, on a network with an environment."""

    def change(stack: Document) -> None:
        of_kind("egress", environment={"GYMCTL_EGRESS_SERVER": server})(stack)
        stack["services"]["env1"]["networks"]["env1-alone"] = {}

    return change


def limits(service: str, **values: Any) -> Change:
    """Replace the limits of a service."""
    return put(service, deploy={"resources": {"limits": values}})


def option(network: str, **keys: Any) -> Change:
    return lambda stack: stack["networks"][network].update(keys)


def one_network(stack: Document) -> None:
    for item in stack["services"].values():
        del item["networks"]


def shared_network(*services: str) -> Change:
    """Put services on one more internal network."""

    def change(stack: Document) -> None:
        stack["networks"]["more"] = {"internal": True, **copy.deepcopy(NO_HOST)}
        for name in services:
            stack["services"][name]["networks"]["more"] = {}

    return change


def other_network(**keys: Any) -> Change:
    """Put an environment on a network that is defined by ``keys``."""

    def change(stack: Document) -> None:
        stack["networks"]["more"] = keys
        stack["services"]["env1"]["networks"]["more"] = {}

    return change


def secrets(*services: str) -> Change:
    def change(stack: Document) -> None:
        stack["secrets"] = {"KEY": {"file": "./.gymctl/secrets/KEY"}}
        for name in services:
            stack["services"][name]["secrets"] = ["KEY"]

    return change


def on_host_network(stack: Document) -> None:
    del stack["services"]["env1"]["networks"]
    stack["services"]["env1"]["network_mode"] = "host"


def on_default_bridge(stack: Document) -> None:
    on_host_network(stack)
    stack["services"]["env1"]["network_mode"] = "bridge"


NO_HOST = {"driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}}
DIGEST = "sha256:" + "0" * 64

# rule, what breaks it
BREAKS: list[tuple[str, Change]] = [
    ("privileged", put("env1", privileged=True)),
    ("engine-socket", put("env1", volumes=["/var/run/docker.sock:/var/run/docker.sock"])),
    ("engine-socket", put("env1", volumes=[{"type": "bind", "source": "/run/podman/podman.sock", "target": "/s"}])),
    ("host-network", on_host_network),
    ("sensitive-folder", put("env1", volumes=["/etc:/host/etc:ro"])),
    ("sensitive-folder", put("env1", volumes=["/:/host:ro"])),
    ("root-user", put("env1", user="root")),
    ("root-user", put("env1", user="0:0")),
    ("added-capabilities", put("env1", cap_add=["SYS_PTRACE"])),
    ("seccomp-off", put("env1", security_opt=["no-new-privileges:true", "seccomp:unconfined"])),
    ("seccomp-off", put("env1", security_opt=["no-new-privileges:true", "seccomp=unconfined"])),
    ("host-pid", put("env1", pid="host")),
    ("host-user-namespace", put("env1", userns_mode="host")),
    ("kept-capabilities", without("env1", "cap_drop")),
    ("kept-capabilities", put("env1", cap_drop=["NET_RAW"])),
    ("new-privileges", without("env1", "security_opt")),
    ("new-privileges", put("env1", security_opt=["no-new-privileges:false"])),
    ("writable-root", put("env1", read_only=False)),
    ("apparmor-off", put("env1", security_opt=["no-new-privileges:true", "apparmor:unconfined"])),
    ("selinux-off", put("env1", security_opt=["no-new-privileges:true", "label:disable"])),
    ("host-ipc", put("env1", ipc="host")),
    ("devices", put("env1", devices=["/dev/fuse:/dev/fuse"])),
    ("shared-mount", put("env1", volumes=["/data:/data:ro,rshared"])),
    ("host-uts", put("env1", uts="host")),
    ("cgroup-parent", put("env1", cgroup_parent="/mine")),
    ("sysctls", put("env1", sysctls={"net.ipv4.ip_forward": 1})),
    ("sysctls", put("env1", sysctls=["net.ipv4.ip_forward=1"])),
    ("writable-mount", put("env1", volumes=["./data:/data"])),
    ("memory", limits("env1", pids=1)),
    ("processes", limits("env1", memory="1gb")),
    ("processes", limits("env1", memory="1gb", pids=-1)),
    ("oom-killer", put("env1", oom_kill_disable=True)),
    ("oom-killer", put("env1", oom_score_adj=-500)),
    ("memory-files", put("env1", tmpfs="/tmp")),
    ("memory-files", put("env1", tmpfs=["/tmp:size=1g", "/cache:exec"])),
    ("log-size", without("env1", "logging")),
    ("log-size", put("env1", logging={"driver": "json-file"})),
    ("cpus", without("env1", "cpu_shares")),
    ("open-files", without("env1", "ulimits")),
    ("no-logs", put("env1", logging={"driver": "none"})),
    ("healthcheck", without("env1", "healthcheck")),
    ("healthcheck", put("env1", healthcheck={"disable": True})),
    ("healthcheck", put("env1", healthcheck={"test": ["NONE"]})),
    ("init", put("env1", init=False)),
    ("restart-always", put("env1", restart="always")),
    ("published-without-token", put("env1", ports=["10.0.0.1:8080:8080"])),
    ("published-without-tls", put("head", ports=[{"target": 11000, "published": "443", "host_ip": "10.0.0.1"}])),
    ("published-without-token", edge()),
    ("published-without-tls", edge(EDGE_TOKEN)),
    ("published-without-token", edge(EDGE_CERTIFICATE)),
    ("published-server", edge()),
    ("every-interface", put("head", ports=["11000:11000"])),
    ("every-interface", put("head", ports=["11000"])),
    ("every-interface", put("head", ports=["[::]:11000:11000"])),
    ("every-interface", put("head", ports=[{"target": 11000, "published": 11000, "host_ip": "0.0.0.0"}])),
    ("one-network", one_network),
    ("environment-reaches-model", shared_network("env1", "policy")),
    ("environment-egress", join("env1", "stack-egress")),
    ("environment-egress", other_network()),
    ("default-bridge", on_default_bridge),
    ("environments-reach-each-other", shared_network("env1", "env2")),
    ("tokens-between-servers", lambda stack: None),
    ("model-egress", join("policy", "stack-egress")),
    ("agent-egress", join("agent1", "stack-egress")),
    ("shared-egress-proxy", egress_proxy("env2")),
    ("egress-whole-domain", of_kind("egress", environment={"GYMCTL_EGRESS_HOSTS": "a.test *.com:443"})),
    ("host-address", other_network(internal=True)),
    ("host-name", put("env1", extra_hosts=["host.docker.internal:host-gateway"])),
    ("host-name", put("env1", extra_hosts={"host.docker.internal": "host-gateway"})),
    ("plain-overlay", other_network(driver="overlay", internal=True)),
    ("published-server", put("env1", ports=["127.0.0.1:8080:8080"])),
    ("servers-reach-each-other", shared_network("agent1", "agent2")),
    ("servers-reach-each-other", shared_network("agent1", "env2")),
    ("external-network", other_network(external=True)),
    ("head-without-token", lambda stack: None),
    ("head-egress", lambda stack: None),
    ("privileged-port", put("head", ports=["127.0.0.1:443:11000"])),
    ("secret-in-environment", variable("env1", "OPENAI_API_KEY", "sk-0123456789")),
    ("secret-in-environment", variable("env1", "DATABASE", "postgres://user:pass@db/x")),
    ("secret-in-command", put("env1", command=["serve", "--api-key", "sk-0123456789"])),
    ("secret-in-command", put("env1", command="serve --auth-token=abcdef")),
    ("secret-in-configuration", sliced("env1", "\nsearch_api_key: sk-0123456789\n")),
    ("secret-in-configuration", sliced("env1", "\ndatabases: [{url: 'postgres://user:pass@db/x'}]\n")),
    ("ray-token", of_kind("ray", environment={"RAY_AUTH_MODE": "disabled"})),
    ("ray-dashboard", of_kind("ray", ports=["127.0.0.1:8265:8265"])),
    ("environment-secret", secrets("env1")),
    ("pulled-image", put("env1", pull_policy="missing")),
    ("image-digest", put("env1", pull_policy="missing", image="another:1")),
    ("unlocked-packages", lambda stack: None),
    ("moving-tag", put("env1", image="another")),
    ("moving-tag", put("env1", image="registry.test:5000/another:latest")),
    ("vllm-key", of_kind("vllm", healthcheck={"test": ["CMD", "true"]}, command=["--model", "x"])),
    ("shared-secret", secrets("env1", "env2")),
]

# rule, a change after which there is no such finding
KEEPS: list[tuple[str, Change]] = [
    ("cpus", put("env1", cpu_shares=0, cpus=1)),
    ("tokens-between-servers", lambda stack: [without(name, "labels")(stack) for name in stack["services"]]),
    ("unlocked-packages", lambda stack: [without(name, "labels")(stack) for name in stack["services"]]),
    ("head-without-token", without("head", "ports")),
    ("head-egress", lambda stack: stack["services"]["head"]["networks"].pop("stack-egress")),
    ("root-user", put("env1", user="10001")),
    ("writable-mount", put("env1", volumes=["./data:/data:ro", "cache:/cache"])),
    ("processes", put("env1", deploy={}, mem_limit="1g", pids_limit=5)),
    ("memory", put("env1", deploy={}, mem_limit="1g", pids_limit=5)),
    ("log-size", put("env1", logging={"driver": "syslog"})),
    ("every-interface", put("head", ports=["127.0.0.1:11000:11000"])),
    ("published-without-token", put("head", ports=["[::1]:11000:11000"])),
    ("published-without-token", edge(EDGE_TOKEN, EDGE_CERTIFICATE)),
    ("published-without-tls", edge(EDGE_TOKEN, EDGE_CERTIFICATE)),
    ("published-server", edge(EDGE_TOKEN, EDGE_CERTIFICATE)),
    ("plain-overlay", other_network(driver="overlay", internal=True, driver_opts={"encrypted": ""})),
    ("host-address", other_network(driver="overlay", internal=True)),
    ("shared-egress-proxy", egress_proxy("env1")),
    ("egress-whole-domain", of_kind("egress", environment={"GYMCTL_EGRESS_HOSTS": "a.test *.a.test"})),
    ("image-digest", put("env1", pull_policy="missing", image=f"another@{DIGEST}")),
    ("moving-tag", put("env1", image=f"another@{DIGEST}")),
    ("secret-in-environment", variable("env1", "OPENAI_API_KEY", "EMPTY")),
    ("secret-in-environment", variable("env1", "TOKEN", "/run/secrets/TOKEN")),
    ("secret-in-command", put("env1", command=["serve", "--api-key", "$${KEY}"])),
    ("secret-in-configuration", sliced("env1", "\nsearch_api_key: $${oc.env:KEY}\nmax_tokens: x\n")),
    ("environment-reaches-model", sliced("env1", "\nunused: 1\n")),
    ("shared-secret", secrets("env1", "head")),
]


def test_every_rule_has_a_change_that_breaks_it() -> None:
    broken = [rule for rule, _ in BREAKS]
    assert {rule.id for rule in RULES} == {*broken, "secret-files"}
    assert len(RULES) == len({rule.id for rule in RULES}) >= 40


@pytest.mark.parametrize(
    ("rule", "change"), BREAKS, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(BREAKS)]
)
def test_a_rule_is_broken(rule: str, change: Change) -> None:
    before = ids(audited())
    assert rule in ids(audited(change))
    assert rule not in before or rule in DEFAULT_FINDINGS


@pytest.mark.parametrize(("rule", "change"), KEEPS, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(KEEPS)])
def test_a_rule_is_kept(rule: str, change: Change) -> None:
    assert rule not in ids(audited(change))


def test_what_is_not_protected_by_default() -> None:
    audit = audited()
    assert ids(audit) == DEFAULT_FINDINGS
    assert audit.score == 100 - 2 * Severity.MEDIUM.points - 2 * Severity.LOW.points
    assert [finding.rule.severity for finding in audit.findings] == sorted(
        (finding.rule.severity for finding in audit.findings), key=list(Severity).index
    )


def test_packages_and_base_image_are_locked_by_two_choices() -> None:
    default = stack_of_text(yaml.safe_dump(document()), "compose.yaml", Path("/nowhere"))
    locked = replace(default, requires_package_lock=True, base_image=f"registry.test/python@{DIGEST}")
    assert ids(evaluate(locked)) == DEFAULT_FINDINGS - {"unlocked-packages"}
    for partly in (
        default,
        replace(locked, requires_package_lock=False),
        replace(locked, base_image="python:3.12-slim"),
        replace(locked, base_image=""),
    ):
        assert ids(evaluate(partly)) == DEFAULT_FINDINGS


@pytest.mark.parametrize(
    ("image", "is_locked"),
    [
        ("gymctl-server:0.1.0-3f9a1c2b7d4e", True),
        ("registry.test:5000/mine/gymctl-server:0.1.0", True),
        ("gymctl-server-math:0.1.0", False),
        ("my-gymctl-server:0.1.0", False),
        ("gymctl-ray:0.1.0", False),
    ],
)
def test_other_images_may_have_packages_outside_the_lock(image: str, is_locked: bool) -> None:
    stack = stack_of_text(yaml.safe_dump(document(put("env1", image=image))), "compose.yaml", Path("/nowhere"))
    stack = replace(stack, requires_package_lock=True, base_image=f"python@{DIGEST}")
    findings = [finding for finding in evaluate(stack).findings if finding.rule.id == "unlocked-packages"]
    expected = [] if is_locked else [f"{image} may contain packages that gymctl's lock file does not list"]
    assert [item.text for finding in findings for item in finding.evidence] == expected


def test_a_secret_in_an_open_folder_is_a_finding() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "KEY").write_text("x")
        if not all(parent.stat().st_mode & 0o011 for parent in folder.parents):
            pytest.skip("other users cannot enter the folder for temporary files")
        stack = stack_of_document({"services": {}, "secrets": {"KEY": {"file": "KEY"}}}, "demo", folder)
        (folder / "KEY").chmod(0o644)
        folder.chmod(0o755)
        assert ids(evaluate(stack)) == {"secret-files"}
        folder.chmod(0o700)
        assert ids(evaluate(stack)) == set()
        folder.chmod(0o755)
        (folder / "KEY").chmod(0o600)
        assert ids(evaluate(stack)) == set()


def test_a_severe_finding_takes_more_than_all_lesser_ones_of_its_kind() -> None:
    points = [severity.points for severity in Severity]
    assert points == sorted(points, reverse=True)
    assert audited(put("env1", privileged=True)).score == audited().score - Severity.CRITICAL.points


@pytest.mark.parametrize(
    "text",
    ["[]", "services: 1", "services: {a: {ports: {}}}", "a: [", "services: {a: {unknown: 1}}"],
)
def test_a_file_that_is_not_composes_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^compose\.yaml: "):
        stack_of_text(text, "compose.yaml", Path())


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("80", AuditedPort("", 0, 80)),
        (80, AuditedPort("", 0, 80)),
        ("8080:80", AuditedPort("", 8080, 80)),
        ("127.0.0.1:8080:80/udp", AuditedPort("127.0.0.1", 8080, 80)),
        ("127.0.0.1::80", AuditedPort("127.0.0.1", 0, 80)),
        ("[::1]:8080-8090:80-90", AuditedPort("::1", 8080, 80)),
        ({"target": 80, "published": "8080", "host_ip": "::"}, AuditedPort("::", 8080, 80)),
        ({"target": 80}, AuditedPort("", 0, 80)),
    ],
)
def test_the_forms_of_a_port(port: Any, expected: AuditedPort) -> None:
    stack = stack_of_document({"services": {"a": {"image": "x", "ports": [port]}}}, "demo", Path())
    assert stack.containers[0].ports == (expected,)


LONG = {
    "image": "x",
    "environment": {"A": "1", "B": ""},
    "labels": {"gymctl.kind": "head"},
    "ports": [{"target": 80, "published": "8080", "host_ip": "127.0.0.1"}],
    "networks": {"inner": {"aliases": ["a"]}},
    "volumes": [{"type": "bind", "source": "/data", "target": "/data", "read_only": True}],
    "secrets": [{"source": "KEY", "target": "/run/secrets/KEY"}],
    "command": ["serve", "--port", "80"],
    "tmpfs": ["/tmp:size=1m"],
    "extra_hosts": {"host.docker.internal": "host-gateway"},
    "sysctls": {"net.core.somaxconn": 1024},
    "cap_drop": ["ALL"],
    "deploy": {"resources": {"limits": {"memory": "1g", "pids": 5, "cpus": "1"}}},
    "read_only": True,
}
SHORT = {
    "image": "x",
    "environment": ["A=1", "B"],
    "labels": ["gymctl.kind=head"],
    "ports": ["127.0.0.1:8080:80"],
    "networks": ["inner"],
    "volumes": ["/data:/data:ro"],
    "secrets": ["KEY"],
    "command": "serve --port 80",
    "tmpfs": "/tmp:size=1m",
    "extra_hosts": ["host.docker.internal=host-gateway"],
    "sysctls": ["net.core.somaxconn=1024"],
    "cap_drop": ["all"],
    "mem_limit": "1g",
    "pids_limit": 5,
    "cpus": 1,
    "read_only": "true",
}


def test_short_and_long_forms_mean_the_same() -> None:
    whole = {"networks": {"inner": {}}, "secrets": {"KEY": {"file": "KEY"}}}
    texts = [yaml.safe_dump({**whole, "services": {"a": service}}) for service in (LONG, SHORT)]
    long, short = (stack_of_text(text, "compose.yaml", Path()).containers[0] for text in texts)
    assert long == short


@pytest.mark.parametrize("key", sorted(LONG))
def test_a_key_without_a_value_or_with_a_variable_is_read(key: str) -> None:
    values: tuple[Any, ...] = (None, "${VALUE}", ["${VALUE}"], {}, [])
    for value in values:
        service = {"image": "x", **SHORT, key: value}
        try:
            evaluate(stack_of_text(yaml.safe_dump({"services": {"a": service}}), "compose.yaml", Path()))
        except InputError as error:
            assert str(error).startswith("compose.yaml: services.a")


def test_a_service_that_is_built_has_no_finding_about_its_image() -> None:
    stack = stack_of_document({"services": {"a": {"build": "."}}}, "demo", Path())
    assert not ids(evaluate(stack)) & {"moving-tag", "image-digest"}
