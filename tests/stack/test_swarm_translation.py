"""What a Compose document becomes for Swarm, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from gymctl.config.sizes import size_in_bytes
from gymctl.errors import ConfigError
from gymctl.stack import ComposeDocument
from gymctl.stack.compose.model import Service
from gymctl.stack.swarm import KeyOutcome, SwarmOptions, Translation, grouped, translate
from gymctl.stack.swarm.secrets_and_configs import stored_name

HEAD = {"gymctl.kind": "head"}
SERVER = {"gymctl.kind": "resources_servers"}


def one(options: SwarmOptions | None = None, **service: Any) -> tuple[dict[str, Any], Translation]:
    """A service ``it`` beside two others, as Swarm takes it (plain), and the whole translation."""
    others = {"db": {"image": "d"}, "job": {"image": "j", "profiles": ["once"]}}
    document = ComposeDocument.model_validate({"name": "demo", "services": {"it": {"image": "i", **service}, **others}})
    translation = translate(document, options)
    return translation.document.plain()["services"]["it"], translation


def details(translation: Translation, outcome: KeyOutcome) -> str:
    return "\n".join(f"{change.key}: {change.detail}" for change in translation.changes if change.outcome is outcome)


@pytest.mark.parametrize(
    ("restart", "policy"),
    [
        ("unless-stopped", {"condition": "any", "delay": "2s"}),
        ("always", {"condition": "any", "delay": "2s"}),
        ("on-failure:4", {"condition": "on-failure", "delay": "2s", "max_attempts": 4}),
        ("no", {"condition": "none"}),
        (None, {"condition": "none"}),
    ],
)
def test_restart_becomes_a_policy(restart: str | None, policy: dict[str, Any]) -> None:
    service, _ = one(restart=restart)
    assert "restart" not in service
    assert service["deploy"]["restart_policy"] == policy


def test_memory_becomes_mounts_with_sizes_in_bytes() -> None:
    service, translation = one(shm_size="512mb", tmpfs=["/tmp", "/big:size=1g,exec"], volumes=["v:/v"])
    assert service["volumes"] == [
        "v:/v",
        {"type": "tmpfs", "target": "/tmp"},
        {"type": "tmpfs", "target": "/big", "tmpfs": {"size": 1073741824}},
        {"type": "tmpfs", "target": "/dev/shm", "tmpfs": {"size": 536870912}},
    ]
    assert {"shm_size", "tmpfs"}.isdisjoint(service)
    assert "exec on /big" in details(translation, KeyOutcome.LOST)
    assert "the volume v is local to each node" in details(translation, KeyOutcome.LOST)


@pytest.mark.parametrize(
    ("text", "size"), [("2gb", 2 * 1024**3), ("64m", 64 * 1024**2), ("1.5kb", 1536), ("7", 7), ("1kib", 1024), (9, 9)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert size_in_bytes(text) == size


def reserve(*devices: dict[str, Any]) -> dict[str, Any]:
    return {"resources": {"reservations": {"devices": list(devices), "memory": "1gb"}}}


def test_counted_gpus_are_generic_resources() -> None:
    deploy = reserve({"capabilities": ["gpu"], "count": 1}, {"capabilities": ["gpu"], "driver": "nvidia", "count": 2})
    service, translation = one(deploy=deploy)
    spec = {"discrete_resource_spec": {"kind": "NVIDIA-GPU", "value": 3}}
    assert service["deploy"]["resources"]["reservations"] == {"memory": "1gb", "generic_resources": [spec]}
    assert service["deploy"]["update_config"]["order"] == "stop-first"  # there may be no more of them
    assert "node-generic-resources" in details(translation, KeyOutcome.TRANSLATED)


@pytest.mark.parametrize(("device", "visible"), [({"count": "all"}, "all"), ({"device_ids": ["0", "2"]}, "0,2")])
def test_chosen_gpus_are_a_variable_on_labelled_nodes(device: dict[str, Any], visible: str) -> None:
    service, translation = one(deploy=reserve({"capabilities": ["gpu"], **device}), environment={"A": "b"})
    assert service["environment"] == {"NVIDIA_VISIBLE_DEVICES": visible, "A": "b"}
    assert service["deploy"]["placement"]["constraints"] == ["node.labels.gymctl.gpu==true"]
    assert "docker node update --label-add gymctl.gpu=true" in details(translation, KeyOutcome.TRANSLATED)


def test_devices_that_swarm_does_not_know_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"services.it.deploy.*no devices of tpu.*reserve GPUs"):
        one(deploy=reserve({"capabilities": ["tpu"], "count": 1}))


def test_what_swarm_takes_no_notice_of_is_reported_with_a_way_out() -> None:
    _, translation = one(security_opt=["no-new-privileges:true"], ipc="host", pull_policy="always", cpu_shares=512)
    lost = details(translation, KeyOutcome.LOST)
    assert (
        'security_opt: no-new-privileges:true: Swarm ignores it; "no-new-privileges": true in the daemon.json' in lost
    )
    assert "ipc: host" in lost
    assert "cpu_shares: 512" in lost
    assert "pull_policy: always" in lost


def test_nothing_is_left_that_docker_stack_ignores() -> None:
    """``docker stack deploy`` takes these without a word, or with a warning, and does nothing with them."""
    ignored: dict[str, Any] = {
        "restart": "always",
        "shm_size": "1gb",
        "ipc": "host",
        "cpu_shares": 512,
        "security_opt": ["a"],
        "tmpfs": ["/t"],
        "depends_on": {"db": {"condition": "service_started"}},
        "pull_policy": "never",
    }
    service, _ = one(**ignored)
    assert ignored.keys().isdisjoint(service)


def test_a_loopback_port_of_the_head_is_left_out_and_told() -> None:
    service, translation = one(labels=HEAD, ports=[{"target": 1, "published": "11000", "host_ip": "127.0.0.1"}])
    assert "ports" not in service
    assert "--publish 0.0.0.0" in details(translation, KeyOutcome.LOST)


@pytest.mark.parametrize("labels", [SERVER, {}])
def test_a_port_on_one_address_that_was_asked_for_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"services.it.ports: 10.0.0.7:8000 is not published.*--publish 0.0.0.0"):
        one(labels=labels, ports=[{"target": 1, "published": "8000", "host_ip": "10.0.0.7"}])


def test_a_port_for_everyone_is_one_of_the_node() -> None:
    ports = [{"target": 1, "published": "8000", "host_ip": "0.0.0.0"}, {"target": 2}]
    service, _ = one(ports=ports)
    assert service["ports"] == [
        {"target": 1, "published": 8000, "mode": "host"},
        {"target": 2, "mode": "host"},
    ]
    assert service["deploy"]["update_config"]["order"] == "stop-first"


def test_a_command_waits_for_the_names_that_it_needs() -> None:
    needs = {"db": {"condition": "service_healthy"}}
    service, _ = one(depends_on=needs, command=["python", "app.py"], pull_policy="never")
    assert "depends_on" not in service
    script = service["command"][2]
    assert service["command"][:2] == ["sh", "-c"]
    assert service["command"][3:] == ["wait", "python", "app.py"]
    assert "for name in db;" in script
    assert script.endswith('exec "$@"')


def test_an_entrypoint_of_its_own_waits_and_keeps_its_command() -> None:
    needs = {"db": {"condition": "service_started"}}
    service, _ = one(depends_on=needs, entrypoint=["vllm", "serve"], command=["model"])
    assert service["entrypoint"][3:] == ["wait", "vllm", "serve"]
    assert service["command"] == ["model"]


@pytest.mark.parametrize(
    ("needs", "lost"),
    [
        ({"db": {"condition": "service_healthy"}}, "starts without waiting for db"),
        ({"db": {"condition": "service_completed_successfully"}}, "does not wait for db, which is left out"),
        ({"job": {"condition": "service_started"}}, "does not wait for job, which is left out"),
    ],
)
def test_a_wait_that_cannot_be_is_reported(needs: dict[str, Any], lost: str) -> None:
    service, translation = one(depends_on=needs, command=["serve"])  # whose image may have any entrypoint
    assert service["command"] == ["serve"]
    assert lost in details(translation, KeyOutcome.LOST)


def test_a_service_of_a_profile_is_left_out() -> None:
    _, translation = one()
    assert "job" not in translation.document.services
    assert "left out: it is in profile once" in details(translation, KeyOutcome.LOST)


def test_what_must_end_before_others_start_is_left_out() -> None:
    service, translation = one(depends_on={"db": {"condition": "service_completed_successfully"}}, entrypoint=["x"])
    assert list(translation.document.services) == ["it"]
    assert service["entrypoint"] == ["x"]
    assert "left out: Swarm cannot wait until it has finished; it runs without" in details(translation, KeyOutcome.LOST)


def test_every_service_resolves_to_its_tasks_and_is_replaced_carefully() -> None:
    service, _ = one()
    deploy = service["deploy"]
    assert deploy["endpoint_mode"] == "dnsrr"
    assert deploy["update_config"] == {
        "parallelism": 1,
        "failure_action": "rollback",
        "monitor": "10s",
        "order": "start-first",
    }
    assert deploy["rollback_config"]["failure_action"] == "pause"


@pytest.mark.parametrize(
    "service", [{"volumes": ["v:/v"]}, {"deploy": {"placement": {"max_replicas_per_node": 1}}}], ids=["volume", "full"]
)
def test_what_cannot_be_there_twice_is_stopped_first(service: dict[str, Any]) -> None:
    assert one(**service)[0]["deploy"]["update_config"]["order"] == "stop-first"


def test_a_job_is_neither_updated_nor_restarted_after_success() -> None:
    service, _ = one(deploy={"mode": "replicated-job"}, restart="always")
    assert "update_config" not in service["deploy"]
    assert service["deploy"]["restart_policy"]["condition"] == "on-failure"


def test_a_deployed_image_replaces_the_built_one() -> None:
    pinned = "registry.test/gymctl-server@sha256:" + "0" * 64
    service, _ = one(SwarmOptions(images={"i": pinned}))
    assert service["image"] == pinned


def test_networks_are_overlays_that_jobs_may_join() -> None:
    document = ComposeDocument.model_validate(
        {
            "services": {"a": {"image": "i"}, "b": {"image": "i", "networks": {"own": None, "theirs": None}}},
            "networks": {
                "own": {"driver": "bridge", "driver_opts": {"com.docker.network.bridge.name": "x", "encrypted": ""}},
                "theirs": {"external": True, "name": "shared"},
            },
        }
    )
    networks = translate(document).document.plain()["networks"]
    assert networks == {
        "own": {"driver": "overlay", "attachable": True, "driver_opts": {"encrypted": ""}},
        "theirs": {"external": True, "name": "shared"},
        "default": {"driver": "overlay", "attachable": True},
    }


def stored(value: bytes | None) -> Translation:
    document = ComposeDocument.model_validate(
        {
            "name": "demo",
            "secrets": {"KEY": {"file": "./k"}, "THEIRS": {"external": True}},
            "configs": {"page": {"content": "a: $b\n"}},
        }
    )
    return translate(document, SwarmOptions(contents={} if value is None else {"./k": value}))


def test_a_secret_is_named_by_its_content_which_is_nowhere() -> None:
    names = [stored(value).document.plain()["secrets"] for value in (b"one", b"two", b"one")]
    assert names[0] == names[2] != names[1]
    assert names[0]["KEY"]["file"] == "./k"
    assert names[0]["KEY"]["name"].startswith("demo_KEY_")
    assert names[0]["THEIRS"] == {"external": True}
    assert "planted" not in repr(stored(b"planted"))
    assert "a changed one cannot be deployed" in details(stored(None), KeyOutcome.LOST)


def test_an_inline_config_is_a_file_named_by_its_content() -> None:
    translation = stored(b"x")
    ((file, content),) = translation.files.items()
    page = translation.document.plain()["configs"]["page"]
    assert content == b"a: $b\n"
    assert page == {"file": file, "name": file.rpartition("/")[2]}


def test_names_are_not_longer_than_a_swarm_takes() -> None:
    names = {stored_name("stack", key * 80, b"v", slow=False) for key in "ab"}
    assert len(names) == 2
    assert {len(name) for name in names} == {64}


def test_what_a_swarm_does_not_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="500,001 bytes; Swarm's limit is 500,000"):
        stored(b"x" * 500_001)


def test_the_same_for_many_services_is_said_once() -> None:
    document = ComposeDocument(services={name: Service(image="i", restart="always") for name in "abcde"})
    lines = list(grouped(translate(document).changes))
    assert "translated: restart (a, b, c and 2 more): deploy.restart_policy: any" in lines
    assert sum("restart" in line for line in lines) == 1


def test_a_name_that_swarm_finds_too_long_is_refused_with_one_that_fits() -> None:
    server = "a" * 40
    fits = ComposeDocument.model_validate({"name": "s" * 22, "services": {server: {"image": "i"}}})
    assert server in translate(fits).document.services
    with pytest.raises(ConfigError, match=r"2 characters longer .* a name of 22 characters at most \(--name NAME\)"):
        translate(fits.model_copy(update={"name": "s" * 24}))


def test_a_server_is_given_time_to_end_what_it_has_begun() -> None:
    service, translation = one(environment={"NEMO_GYM_CONFIG_PATH": "it"}, stop_grace_period="5s")
    assert service["stop_grace_period"] == "120s"
    assert service["environment"] == {"GYMCTL_NOTICE_S": "4", "GYMCTL_PATIENCE_S": "60", "NEMO_GYM_CONFIG_PATH": "it"}
    assert "120s instead of 5s" in details(translation, KeyOutcome.TRANSLATED)
    addon, _ = one(stop_grace_period="5s")
    assert addon["stop_grace_period"] == "5s" and "environment" not in addon
