"""A stack on a real Swarm of three nodes: placed as asked, killed, drained, updated, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import pytest
from command_line import GYMCTL
from swarm_folder import AGENT, BASE, REPOSITORY, TOOL, SwarmFolder
from swarm_lab import Lab, docker

pytestmark = [pytest.mark.docker, pytest.mark.lab]

# Slow enough that something can happen in the middle
STACK = f"""\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{TOOL}/configs/{TOOL}.yaml
policy_model: {{responses_api_models: {{scripted_model: {{latency_ms: 150}}}}}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three nodes; the manager can build, the others have nothing."""
    made = Lab(f"gymctl-test-{os.getpid()}", shared=tmp_path_factory.mktemp("swarm"))
    try:
        made.up()
        file = made.shared / "base.tar"
        docker("save", "--output", str(file), BASE)
        made.on(made.names[0], "load", "--quiet", "--input", str(file), timeout=300)
        file.unlink()
        yield made
    finally:
        made.down()


@pytest.fixture
def folder(lab: Lab) -> Iterator[SwarmFolder]:
    path = lab.shared / f"stack-{len(list(lab.shared.iterdir()))}"  # a server's name has to fit behind it
    path.mkdir()
    made = SwarmFolder(lab, path)
    yield made
    if (path / ".gymctl" / "stack.json").exists():
        made.gymctl("down")
        left = lab.on(lab.names[0], "stack", "ls") + lab.on(lab.names[0], "network", "ls", "--format", "{{.Name}}")
        assert path.name not in left


@pytest.fixture
def running(folder: SwarmFolder) -> SwarmFolder:
    """The small stack, up."""
    (folder.path / "stack.yaml").write_text(STACK)
    folder.up("stack.yaml")
    return folder


def node_of(folder: SwarmFolder, server: str) -> str:
    node: str = folder.status()[server]["nodes"][0]
    return node


def a_worker_with_servers(folder: SwarmFolder) -> tuple[str, list[str]]:
    """A node other than the manager, and the servers on it."""
    workers: dict[str, list[str]] = {node: [] for node in folder.lab.names[1:]}
    for name, server in folder.status().items():
        for node in server["nodes"]:
            if node in workers:
                workers[node].append(name)
    return max(workers.items(), key=lambda item: len(set(item[1]) - {"head"}))


@pytest.mark.slow
def test_three_environments_placed_as_asked(lab: Lab, folder: SwarmFolder) -> None:
    manager, gpu, cpu = lab.names
    lab.on(manager, "node", "update", "--label-add", "gymctl.gpu=true", gpu)
    folder.up(REPOSITORY / "examples" / "three-nodes")
    status = folder.status()
    assert all(server["ok"] and server["running"] == server["replicas"] == 1 for server in status.values())
    nodes = {name: server["nodes"] for name, server in status.items()}
    assert nodes.pop("head") == [manager] and nodes.pop("policy_model") == [gpu]
    assert set(map(tuple, nodes.values())) == {(cpu,)}  # agents and environments, each on the only node left

    rows = folder.rows([TOOL, "example_multi_step"])
    report = folder.gymctl("collect", "-i", rows.name, "-o", "out.jsonl", "--num-repeats", 100, "--json")
    assert folder.count() == 1000, report
    assert "listens on" in folder.gymctl("logs", "--tail", 5, "policy_model")


def test_a_worker_killed_in_the_middle(lab: Lab, running: SwarmFolder) -> None:
    victim, servers = a_worker_with_servers(running)
    collection = running.collecting(400)
    lab.kill(victim)
    try:
        failed = running.results(collection, 2000)
        assert not any(row["_ng_failure_terminal"] for row in failed)
        status = running.status()
        for name in servers:
            assert status[name]["ok"] and victim not in status[name]["nodes"]
            lost = [moment for moment in status[name]["history"] if moment["node"] == victim]
            assert lost and "was lost: the node is down" in lost[-1]["what"]
        nodes = {node["name"]: node for node in json.loads(running.gymctl("nodes", "list", "--json"))}
        assert nodes[victim]["state"] == "down"
        assert f"{victim} does not respond" in running.gymctl("down")  # and takes no longer for it
    finally:
        lab.revive(victim)


@pytest.mark.parametrize("how", ["docker", "gymctl"])
def test_a_drained_node_fails_no_rollout(lab: Lab, running: SwarmFolder, how: str) -> None:
    victim, servers = a_worker_with_servers(running)
    collection = running.collecting(200)
    try:
        if how == "docker":
            lab.on(lab.names[0], "node", "update", "--availability", "drain", victim)
        else:
            assert "moved" in running.gymctl("nodes", "drain", victim)
        assert running.results(collection, 1000) == []
        status = running.status()
        for name in servers:
            assert victim not in status[name]["nodes"]
            assert any("the node is drained" in moment["what"] for moment in status[name]["history"])
    finally:
        running.gymctl("nodes", "activate", victim)


def test_an_update_in_the_middle_loses_no_row(running: SwarmFolder) -> None:
    collection = running.collecting(400)
    running.up("stack.yaml", "--while-collecting", f"++{AGENT}.responses_api_agents.simple_agent.max_steps=7")
    assert running.results(collection, 2000) == []
    ended = datetime.fromtimestamp((running.path / "out.jsonl").stat().st_mtime, UTC).isoformat()
    moments = [moment for moment in running.status()[AGENT]["history"] if "its definition changed" in moment["what"]]
    assert moments and moments[0]["when"] < ended


@pytest.mark.slow
def test_a_broken_image_is_rolled_back_and_the_reason_shown(running: SwarmFolder) -> None:
    """The new image starts and ends at once: a module is missing in it."""
    before = running.status()
    own = running.path / "resources_servers" / TOOL
    own.mkdir(parents=True)
    (own / "app.py").write_text("import gymctl.server\nimport gymctl_has_no_such_module\n")
    files_before = (running.path / "swarm.yaml").read_text(), (running.path / ".gymctl" / "stack.json").read_text()
    collection = running.collecting(200)
    result = running.up("stack.yaml", "--while-collecting", code=1)
    assert f"{TOOL} update failed and was rolled back: exited with code 1" in result
    assert "No module named 'gymctl_has_no_such_module'" in result
    assert "the previous version of the stack is running" in result
    assert running.results(collection, 1000) == []
    after = running.status()
    assert all(server["ok"] for server in after.values())
    assert after[TOOL]["uptime_seconds"] > before[TOOL]["uptime_seconds"]
    assert files_before == (
        (running.path / "swarm.yaml").read_text(),
        (running.path / ".gymctl" / "stack.json").read_text(),
    )
    assert any("exited with code 1" in moment["what"] for moment in after[TOOL]["history"])


def test_what_cannot_be_placed_says_so(folder: SwarmFolder) -> None:
    (folder.path / "stack.yaml").write_text(STACK + "placement: {models: {labels: {zone: moon}}}\n")
    result = folder.up("stack.yaml", code=1)
    assert "policy_model has no suitable node: " in result


def test_images_that_only_the_manager_has(lab: Lab, folder: SwarmFolder) -> None:
    """Without --host nor --registry a note says what to do; the task that misses its image says it again."""
    (folder.path / "stack.yaml").write_text(STACK)
    for name in lab.names[1:]:
        lab.empty(name)
    folder.hosts = []
    result = folder.up("stack.yaml", code=1)
    assert "the images are on this node only" in result
    assert "No such image" in result and "--registry HOST/PREFIX" in result
    assert "1 sent, 0 already there" in folder.gymctl("images", "load", "stack.yaml", "--host", lab.hosts[1])
    assert "0 sent, 1 already there" in folder.gymctl("images", "load", "stack.yaml", "--host", lab.hosts[1])


def test_images_by_digest_through_a_registry(lab: Lab, folder: SwarmFolder) -> None:
    registry = lab.registry()
    (folder.path / "stack.yaml").write_text(STACK)
    for name in lab.names[1:]:
        lab.empty(name)
    folder.hosts = ["--registry", f"{registry}/gym"]
    folder.up("stack.yaml")
    status = folder.status()
    assert all(server["ok"] for server in status.values())
    assert set(lab.names[1:]) & {node for server in status.values() for node in server["nodes"]}
    image = lab.on(lab.names[0], "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}",
                   f"{folder.path.name}_{AGENT}")  # fmt: skip
    assert image.startswith(f"{registry}/gym/gymctl-server:") and "@sha256:" in image
    rows = folder.rows([TOOL])
    folder.gymctl("collect", "-i", rows.name, "-o", "out.jsonl", "--num-repeats", 2)
    folder.hosts = ["--registry", "127.0.0.1:1/gym"]
    assert "cannot be pushed" in folder.up("stack.yaml", code=1)


SECRET = """\
config_paths:
- responses_api_models/openai_model/configs/openai_model.yaml
policy_base_url: http://127.0.0.1:9/v1
policy_model_name: none
policy_api_key: {key}
"""


def test_a_secret_is_in_no_definition_and_is_renewed(lab: Lab, folder: SwarmFolder) -> None:
    manager = lab.names[0]
    for key in ("sk-planted-first", "sk-planted-second"):
        (folder.path / "stack.yaml").write_text(SECRET.format(key=key))
        folder.up("stack.yaml")
        spec = lab.on(manager, "service", "inspect", f"{folder.path.name}_policy_model")
        assert "sk-planted" not in spec + (folder.path / "swarm.yaml").read_text()
        node = node_of(folder, "policy_model")
        filters = f"label=com.docker.swarm.service.name={folder.path.name}_policy_model"
        container = lab.on(node, "ps", "--quiet", "--filter", filters)
        assert lab.on(node, "exec", container, "cat", "/run/secrets/GYM_POLICY_API_KEY") == key
    names = lab.on(manager, "secret", "ls", "--format", "{{.Name}}").split()
    assert len([name for name in names if "POLICY_API_KEY" in name]) == 2  # this one, and a rollback's


def test_what_is_not_on_the_manager_cannot_be_collected(running: SwarmFolder) -> None:
    elsewhere = SwarmFolder(running.lab, Path(mkdtemp()))
    try:
        shutil.copytree(running.path / ".gymctl", elsewhere.path / ".gymctl")
        rows = elsewhere.rows([TOOL])
        result = elsewhere.gymctl("collect", "-i", rows.name, "-o", "out.jsonl", code=1)
        assert "run this command there" in result
    finally:
        shutil.rmtree(elsewhere.path)


def test_scaled_in_the_middle_loses_no_row(running: SwarmFolder) -> None:
    collection = running.collecting(200)
    running.gymctl("scale", f"{AGENT}=3")
    assert running.status()[AGENT]["running"] == 3
    running.gymctl("scale", f"{AGENT}=1")
    assert running.results(collection, 1000) == []


def test_an_engine_without_a_swarm_says_how_to_make_one(tmp_path: Path) -> None:
    """This machine's own engine, which is in none."""
    environ = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    if json.loads(docker("info", "--format", "{{json .Swarm}}"))["LocalNodeState"] != "inactive":
        pytest.skip("this engine is in a Swarm")
    (tmp_path / "stack.yaml").write_text(STACK)
    done = subprocess.run(
        [*GYMCTL, "up", "--engine", "swarm", "stack.yaml"], cwd=tmp_path, env=environ, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "docker swarm init" in done.stderr
