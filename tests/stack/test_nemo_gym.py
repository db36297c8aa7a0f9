"""Which servers run on NeMo Gym, in which image, started how; and the Ray that some of them use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server, weather

from gymctl.config import Config
from gymctl.errors import ConfigError
from gymctl.stack import Runtimes, StackOptions, StackPlan, plan_stack, render_stack

THEIRS = "from nemo_gym.base_resources_server import SimpleResourcesServer\n"
OURS = "from gymctl.server import ResourcesServer\n"


def plan(whole: Config, **options: Any) -> StackPlan:
    return plan_stack(whole, name="demo", options=StackOptions(version="1.2.3", **options))


def folder_of(root: Path, code: str, *, kind: str = "resources_servers", name: str = "mine", **files: str) -> Path:
    folder = root / kind / name
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(code)
    for file, text in files.items():
        (folder / file.replace("_", ".", 1)).write_text(text)
    return folder


def checkout(root: Path) -> Path:
    (root / "nemo_gym").mkdir(parents=True)
    (root / "nemo_gym" / "__init__.py").touch()
    (root / "pyproject.toml").write_text('[project]\nname = "nemo-gym"\n')
    return root


def mine(folder: Path | None, **fields: Any) -> Config:
    instance = server("mine", RESOURCES, fields, implementation="mine", folder=folder, has_code=folder is not None)
    return config(replace(instance, runtime=fields.get("runtime")))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (THEIRS, "nemo-gym"),
        (OURS, "gymctl"),
        ("import responses_api_agents.simple_agent.app\n", "nemo-gym"),
        ("def broken(:\nfrom nemo_gym import x\n", "nemo-gym"),
        ("from fastapi import FastAPI\n", "gymctl"),
        ("from .inner import *\n", "gymctl"),
    ],
)
def test_what_a_folders_code_imports_decides(tmp_path: Path, code: str, expected: str) -> None:
    assert Runtimes(mine(folder_of(tmp_path, code))).of("mine") == expected


def test_a_module_beside_the_entrypoint_decides_where_that_says_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "from inner import main\n", inner_py=THEIRS)
    assert Runtimes(mine(folder)).of("mine") == "nemo-gym"


def test_what_is_said_wins_over_what_is_found(tmp_path: Path) -> None:
    assert Runtimes(mine(folder_of(tmp_path, OURS), runtime="nemo-gym")).of("mine") == "nemo-gym"
    whole = weather()
    servers = {name: replace(one, runtime="nemo-gym") for name, one in whole.servers.items()}
    runtimes = Runtimes(replace(whole, servers=servers))
    assert [one.name for one in runtimes.nemo_gym] == list(whole.servers)
    assert runtimes.folder(servers["policy"]) is None, "NeMo Gym brings its own openai_model"


def test_a_server_of_the_wheel_is_started_from_the_wheels_folder() -> None:
    whole = config(replace(server("v", MODEL, implementation="vllm_model", has_code=False), runtime="nemo-gym"))
    planned = plan(whole)
    service = planned.services[1]
    assert service.working_dir == "/opt/gym/responses_api_models/vllm_model"
    assert service.command == ("python", "app.py")
    assert service.probe[-1] == "exec 3<>/dev/tcp/127.0.0.1/8000"
    assert [image.tag for image in planned.images] == [
        "gymctl-server:1.2.3",
        "gymctl-nemo-gym:0.7.0-1.2.3",
        "gymctl-nemo-gym-vllm_model:0.7.0-1.2.3",
    ]
    assert planned.images[2].gym is not None
    assert planned.images[2].gym.server == "responses_api_models/vllm_model"
    assert yaml.safe_load(service.slice_text)["ray_head_node_address"] == "gymctl_ray://ray-head:10001"
    assert yaml.safe_load(service.slice_text)["dry_run"] is False
    assert any("NeMo Gym (0.7.0 from PyPI) runs v" in note for note in planned.notes)


def test_a_server_that_nobody_has_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="runtime: nemo-gym"):
        plan(mine(None))


def test_a_users_folder_goes_into_an_image_of_its_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, THEIRS)
    images = plan(mine(folder), gym_version="0.3.1").images
    assert [(image.tag, image.folder) for image in images[1:]] == [
        ("gymctl-nemo-gym:0.3.1-1.2.3", None),
        ("demo-mine:1.2.3", folder),
    ]
    assert images[2].gym is not None
    assert (images[2].gym.base, images[2].gym.source.version) == ("gymctl-nemo-gym:0.3.1-1.2.3", "0.3.1")


def test_inside_a_checkout_nemo_gym_is_the_checkouts(tmp_path: Path) -> None:
    root = checkout(tmp_path / "Gym")
    folder = folder_of(root, THEIRS, requirements_txt="-e nemo-gym[dev] @ ../../\n")
    planned = plan(mine(folder))
    assert [image.tag for image in planned.images[1:]] == ["demo-nemo-gym:1.2.3"], "it needs no packages of its own"
    assert planned.services[1].image == "demo-nemo-gym:1.2.3"
    (folder / "requirements.txt").write_text("-e nemo-gym[dev] @ ../../\nnumpy\n")
    last = plan(mine(folder)).images[-1]
    assert (last.tag, last.folder) == ("demo-mine:1.2.3", None), "its files are in the base"


def test_a_server_that_the_checkout_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no resources_servers/mine/app\.py in"):
        plan(mine(None, runtime="nemo-gym"), gym_root=checkout(tmp_path / "Gym"))


def test_our_own_implementation_in_the_place_of_theirs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, THEIRS, kind="responses_api_agents", name="simple_agent")
    one = server("a", AGENT, {"runtime": "gymctl"}, folder=folder)
    whole = config(replace(one, runtime="gymctl"))
    assert [image.tag for image in plan(whole).images] == ["gymctl-server:1.2.3"]
    with pytest.raises(ConfigError, match="is written for NeMo Gym; gymctl has no implementation of it"):
        plan(mine(folder_of(tmp_path, THEIRS), runtime="gymctl"))


def test_servers_that_start_vllm_themselves_are_refused() -> None:
    whole = config(replace(server("v", MODEL, implementation="local_vllm_model", has_code=False), runtime="nemo-gym"))
    with pytest.raises(ConfigError, match=r"set \+\+v\.at=http://HOST:PORT, or have gymctl start vLLM: \+vllm\.model="):
        plan(whole)


def ray_stack(tmp_path: Path, **more: Any) -> Config:
    user = folder_of(tmp_path, THEIRS + "import ray\n")
    other = folder_of(tmp_path, THEIRS, name="other")
    agent = server("agent", AGENT, {"resources_server": ref(RESOURCES, "user")})
    return config(
        server("user", RESOURCES, implementation="mine", folder=user),
        server("other", RESOURCES, implementation="other", folder=other),
        agent,
        **more,
    )


def test_ray_is_started_for_those_that_use_it(tmp_path: Path) -> None:
    planned = plan(ray_stack(tmp_path))
    services = {service.name: service for service in planned.services}
    assert list(services) == ["head", "ray-head", "user", "other", "agent"]
    assert services["user"].needs == ("ray-head",)
    assert services["other"].needs == services["agent"].needs == ()
    assert dict(services["user"].environment)["RAY_ADDRESS"] == "ray://ray-head:10001"
    assert services["agent"].environment == (), "ours knows nothing of Ray"
    assert services["ray-head"].image == services["user"].image, "Ray's tasks need the packages of their server"
    assert dict(services["ray-head"].environment)["PYTHONPATH"] == "/opt/gym/resources_servers/mine"
    assert yaml.safe_load(services["head"].slice_text)["ray_head_node_address"] == "ray://ray-head:10001"
    document = yaml.safe_load(render_stack(planned))["services"]
    assert document["user"]["depends_on"] == {"ray-head": {"condition": "service_healthy"}}
    assert document["ray-head"]["shm_size"] == "512mb"
    assert not any(key.startswith("NEMO_GYM") for key in document["ray-head"]["environment"])
    assert "--node-ip-address=$$(hostname -i | cut -d' ' -f1)" in document["ray-head"]["command"][2]


def test_a_cluster_of_the_configuration_is_used_as_it_is(tmp_path: Path) -> None:
    planned = plan(ray_stack(tmp_path, values={"ray_head_node_address": "ray://gpu-box:10001"}))
    services = {service.name: service for service in planned.services}
    assert "ray-head" not in services
    assert yaml.safe_load(services["user"].slice_text)["ray_head_node_address"] == "ray://gpu-box:10001"
    assert services["user"].environment == ()


def test_a_cluster_on_this_machine_is_reached_through_the_gateway(tmp_path: Path) -> None:
    planned = plan(ray_stack(tmp_path, values={"ray_head_node_address": "ray://127.0.0.1:10001"}))
    user = planned.services[1]
    assert yaml.safe_load(user.slice_text)["ray_head_node_address"] == "ray://host.docker.internal:10001"
    assert user.extra_hosts == ("host.docker.internal:host-gateway",)


def test_an_address_that_only_nodes_can_dial_is_told(tmp_path: Path) -> None:
    notes = plan(ray_stack(tmp_path, values={"ray_head_node_address": "10.0.0.1:6379"})).notes
    assert any("containers need ray://HOST:10001" in note for note in notes)


@pytest.mark.parametrize(
    ("version", "implementation", "uses_ray"),
    [
        ("0.4.0", "scicode", True),
        ("0.7.0", "scicode", False),
        ("0.7.0", "code_gen", True),
        ("0.3.1", "scicode", True),
    ],
)
def test_which_servers_of_a_wheel_use_ray_is_a_matter_of_the_release(
    version: str, implementation: str, uses_ray: bool
) -> None:
    instance = server("code", RESOURCES, {}, implementation=implementation, has_code=False)
    planned = plan(config(replace(instance, runtime="nemo-gym")), gym_version=version)
    assert ("ray-head" in [service.name for service in planned.services]) is uses_ray


WRITERS = {
    "a folder": "from pathlib import Path\n(Path(__file__).parent / 'results').mkdir()\n",
    "a file": "with open('log.txt', 'w') as log: log.write('x')\n",
    "bytes": "path.write_bytes(b'x')\n",
    "a clone": "subprocess.run(['git', 'clone', url, folder])\n",
    "packages": "subprocess.run([npm, 'install'])\n",
}


@pytest.mark.parametrize("code", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize("imported", ["setup", "inner.setup", ".setup", "resources_servers.mine.setup"])
def test_a_server_whose_code_writes_files_may_write_to_its_folder(tmp_path: Path, code: str, imported: str) -> None:
    folder = folder_of(tmp_path, f"{THEIRS}from {imported} import run\n")
    (folder / "inner").mkdir()
    (folder / ("inner/setup.py" if "inner" in imported else "setup.py")).write_text(code)
    planned = plan(mine(folder))
    assert "read_only" not in yaml.safe_load(render_stack(planned))["services"]["mine"]
    assert yaml.safe_load(render_stack(planned))["services"]["head"]["read_only"] is True
    assert any("mine: the code writes files, so its containers are not read-only" in note for note in planned.notes)


def test_code_that_the_server_does_not_run_does_not_count(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, f"{THEIRS}with open('rows.jsonl') as rows: rows.read()\n", prepare_py="p.mkdir()\n")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_app.py").write_text("path.mkdir()\n")
    planned = plan(mine(folder))
    assert yaml.safe_load(render_stack(planned))["services"]["mine"]["read_only"] is True
    assert not any("read-only" in note for note in planned.notes)


def test_modules_that_import_each_other_are_read_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, f"{THEIRS}import one\n", one_py="import two\n", two_py="import one, app\np.mkdir()\n")
    assert plan(mine(folder)).services[1].writable


@pytest.mark.parametrize(("version", "is_writable"), [("0.4.0", False), ("0.7.0", True), ("0.8.1", True)])
def test_which_servers_of_a_wheel_write_files_is_a_matter_of_the_release(version: str, is_writable: bool) -> None:
    instance = replace(server("a", AGENT, {}, implementation="codex_agent", has_code=False), runtime="nemo-gym")
    model = replace(server("m", MODEL, {}, implementation="codex_agent", has_code=False), runtime="nemo-gym")
    services = {service.name: service for service in plan(config(instance, model), gym_version=version).services}
    assert (services["a"].writable, services["m"].writable) == (is_writable, False)


def test_a_server_of_a_checkout_that_writes_files_owns_its_folder_in_an_image_of_its_own(tmp_path: Path) -> None:
    folder = folder_of(checkout(tmp_path / "Gym"), THEIRS + WRITERS["a folder"])
    assert plan(mine(folder)).services[1].image == "demo-mine:1.2.3"


def test_a_server_of_gymctls_kit_stays_read_only(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, OURS + WRITERS["a folder"])
    assert yaml.safe_load(render_stack(plan(mine(folder))))["services"]["mine"]["read_only"] is True


def test_the_head_has_the_folders_of_servers_of_nemo_gym(tmp_path: Path) -> None:
    agent = server("agent", AGENT, {"resources_server": ref(RESOURCES, "mine")})
    mixed = config(server("mine", RESOURCES, implementation="mine", folder=folder_of(tmp_path, THEIRS)), agent)
    head = yaml.safe_load(plan(mixed).services[0].slice_text)["head_server"]
    assert head["gymctl_folders"] == {"mine": "/opt/gym/resources_servers/mine"}
    assert "gymctl_folders" not in yaml.safe_load(plan(config(agent)).services[0].slice_text)["head_server"]
