"""The services of a ``vllm:`` block: what Docker needs to know of GPUs, memory, weights, secrets and health."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from vllm_cases import TABLE, Folder

from gymctl import assets
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, compose_document, plan_stack, render_stack
from gymctl.stack.compose.fragments import fragment
from gymctl.stack.compose.model import ComposeDocument, Service
from gymctl.stack.compose.rules import check_document


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def devices(service: Service) -> Any:
    return service.plain()["deploy"]["resources"]["reservations"]["devices"]


def pairs(service: Service) -> dict[str, str]:
    words = service.command or []
    return {word: words[index + 1] for index, word in enumerate(words[:-1]) if word.startswith("--")}


@pytest.mark.parametrize(("block", "expected", "settings"), TABLE, ids=[row[0] or "nothing said" for row in TABLE])
def test_what_docker_and_vllm_are_told_of_gpus(
    folder: Folder, block: str, expected: dict[str, list[dict[str, Any]]], settings: dict[str, str]
) -> None:
    services = folder.services(f"vllm: {{model: Qwen/Qwen3-8B, {block}}}")
    vllm_devices = {name: devices(service) for name, service in services.items() if name.startswith("vllm")}
    assert vllm_devices == expected
    for name in expected:
        pairs_of_args = pairs(services[name])
        sizes = {kind: pairs_of_args.get(f"--{kind}-parallel-size") for kind in ("tensor", "pipeline", "data")}
        assert {kind: size for kind, size in sizes.items() if size} == settings


def test_the_model_server_is_told_where_its_instances_are(folder: Folder) -> None:
    slices = folder.services("vllm: {model: Qwen/Qwen3-8B, instances: 2}")["policy_model"].environment or {}
    slice_values = yaml.safe_load(slices["NEMO_GYM_CONFIG_DICT"])
    own = slice_values["policy_model"]["responses_api_models"]["vllm_model"]
    assert own["base_url"] == ["http://vllm-1:8000/v1", "http://vllm-2:8000/v1"]
    assert own["model"] == "Qwen/Qwen3-8B"
    assert "vllm" not in slice_values


def test_a_gpu_that_a_server_takes_too_is_noted(folder: Folder) -> None:
    block = "vllm: {model: Qwen/Qwen3-8B, tensor_parallel_size: 2}\n"
    asking = "++policy_model.responses_api_models.vllm_model.resources={gpus: 1}"
    (note,) = (note for note in folder.plan(block, asking).notes if "GPU" in note)
    assert note.startswith("GPU 0 goes to policy_model and vllm: Docker assigns the first GPUs")
    assert note.endswith("give ids instead (gpus: [ID], gpu_ids)")
    named = ("vllm: {model: Qwen/Qwen3-8B, gpu_ids: [0]}\n", asking.replace("gpus: 1", "gpus: ['0']"))
    assert "GPU 0 goes to policy_model and vllm" in folder.plan(*named).notes
    other = "++policy_model.responses_api_models.vllm_model.resources={gpus: ['7']}"
    assert not [note for note in folder.plan(block, other).notes if "GPU" in note]


def test_the_arguments_of_a_full_block(folder: Folder) -> None:
    (folder.path / "t.jinja").write_text("")
    block = (
        "vllm: {model: Qwen/Qwen3-8B, served_model_name: policy, max_model_len: 32768, dtype: bfloat16, port: 8100, "
        "gpu_memory_utilization: 0.8, reasoning_parser: qwen3, revision: abc, trust_remote_code: true, shm_size: 32gb, "
        "chat_template: t.jinja, image: mine/vllm:1, environment: {NCCL_DEBUG: INFO}, extra_args: {max-num-seqs: 64}}"
    )
    service = folder.services(block)["vllm"]
    assert service.entrypoint == ["vllm", "serve"]
    assert service.command == (
        "Qwen/Qwen3-8B --served-model-name policy --host 0.0.0.0 --port 8000 --gpu-memory-utilization 0.8 "
        "--max-model-len 32768 --dtype bfloat16 --tool-call-parser hermes --reasoning-parser qwen3 "
        "--chat-template /models/t.jinja --revision abc --enable-auto-tool-choice --trust-remote-code --max-num-seqs 64"
    ).split(" ")
    plain = service.plain()
    assert (plain["image"], plain["pull_policy"], plain["shm_size"]) == ("mine/vllm:1", "missing", "32gb")
    assert plain["environment"]["NCCL_DEBUG"] == "INFO"
    assert plain["ports"] == [{"target": 8000, "published": "8100", "host_ip": "127.0.0.1"}]
    assert plain["volumes"] == [
        {"type": "volume", "source": "vllm-cache", "target": "/cache"},
        {"type": "bind", "source": str(folder.path / "t.jinja"), "target": "/models/t.jinja", "read_only": True},
    ]


def test_a_block_renders_the_command_that_nemo_gyms_page_prints(folder: Folder) -> None:
    """Seed 004, line 69: what it has a user type on a machine with four GPUs; the parser follows from the model."""
    block = (
        "{model: Qwen/Qwen3-30B-A3B, dtype: auto, tensor_parallel_size: 4, gpu_memory_utilization: 0.9, port: 10240}"
    )
    service = folder.services(f"vllm: {block}")["vllm"]
    printed = (
        "--dtype auto --tensor-parallel-size 4 --gpu-memory-utilization 0.9 --tool-call-parser hermes --host 0.0.0.0"
    )
    words = printed.split()
    expected = dict(zip(words[::2], words[1::2], strict=True))
    assert expected.items() <= pairs(service).items()
    assert "--enable-auto-tool-choice" in (service.command or [])
    assert [port.published for port in service.ports or ()] == ["10240"]


def test_health_waits_for_a_download_and_starts_no_python(folder: Folder) -> None:
    for profile in ("gpu", "cpu"):
        check = folder.services(f"vllm: {{model: Qwen/Qwen3-8B, profile: {profile}}}")["vllm"].healthcheck
        assert check is not None
        assert check.test is not None
        assert "/health" in check.test[-1]
        assert check.test[:2] == ["CMD", "bash"]
        assert int((check.start_period or "0m").removesuffix("m")) >= 15


def test_shared_memory_is_the_hosts_or_enough(folder: Folder) -> None:
    own = folder.services("vllm: {model: Qwen/Qwen3-8B, tensor_parallel_size: 2}")["vllm"]
    assert (own.shm_size, own.ipc) == ("16gb", None)
    shared = folder.services("vllm: {model: Qwen/Qwen3-8B, tensor_parallel_size: 2, ipc: host}")["vllm"]
    assert (shared.shm_size, shared.ipc) == (None, "host")


def test_weights_are_fetched_once_before_the_instances(folder: Folder) -> None:
    services = folder.services("vllm: {model: Qwen/Qwen3-8B, instances: 2, prefetch: true, cache_volume: hub}")
    fetch = services["vllm-prefetch"]
    assert fetch.command == ["Qwen/Qwen3-8B", ""]
    assert fetch.restart == "no"
    assert fetch.deploy and fetch.deploy.resources and fetch.deploy.resources.reservations is None
    for name in ("vllm-1", "vllm-2"):
        (needed,) = (services[name].depends_on or {}).items()
        assert (needed[0], needed[1].condition) == ("vllm-prefetch", "service_completed_successfully")
        assert services[name].plain()["volumes"] == fetch.plain()["volumes"]
    text = render_stack(folder.plan("vllm: {model: Qwen/Qwen3-8B, prefetch: true}"))
    assert "  # vllm/prefetch: downloads the weights, then exits\n  vllm-prefetch:\n" in text


def test_the_token_of_the_hub_is_a_file(folder: Folder) -> None:
    token = "hf_verysecrettoken"
    plan = folder.plan(f"vllm: {{model: meta-llama/Llama-3.1-8B, prefetch: true}}\nhf_token: {token}\n")
    text = render_stack(plan)
    assert token not in text
    assert plan.secrets == {"GYM_HF_TOKEN": token}
    services = yaml.safe_load(text)["services"]
    for name in ("vllm", "vllm-prefetch"):
        assert services[name]["secrets"] == ["GYM_HF_TOKEN"]
        assert services[name]["environment"]["HF_TOKEN_PATH"] == "/run/secrets/GYM_HF_TOKEN"
    assert "secrets" not in services["policy_model"]


def test_a_secret_where_inspect_would_show_it_is_refused(folder: Folder) -> None:
    (folder.path / "env.yaml").write_text("my_token: hf_verysecrettoken\n")
    block = "vllm:\n  model: Qwen/Qwen3-8B\n  environment: {HF_TOKEN: '${my_token}'}\n"
    with pytest.raises(ConfigError) as caught:
        folder.plan(block)
    assert str(caught.value) == (
        "vllm.yaml:1: vllm.environment.HF_TOKEN holds a secret, which would be visible in `docker inspect`; "
        "set the hub token as the top-level key hf_token; containers receive it as a file"
    )


def test_the_cpu_profile_has_an_image_that_is_built_and_no_gpu(folder: Folder) -> None:
    plan = folder.plan("vllm: {model: Qwen/Qwen2.5-0.5B-Instruct, profile: cpu}")
    service = compose_document(plan).services["vllm"]
    (image,) = [image for image in plan.images if image.dockerfile]
    assert (image.tag, image.dockerfile) == (service.image, "vllm-cpu")
    assert service.pull_policy == "never"
    assert service.deploy and service.deploy.resources and service.deploy.resources.reservations is None
    assert service.read_only
    assert pairs(service)["--dtype"] == "float32"
    image_plan = folder.plan("vllm: {model: Qwen/Qwen2.5-0.5B-Instruct, profile: cpu, image: mine/vllm:cpu}")
    assert [image for image in image_plan.images if image.dockerfile] == []


def test_a_model_of_this_machine_is_mounted_and_the_hub_left_alone(folder: Folder) -> None:
    (folder.path / "tiny").mkdir()
    (folder.path / "tiny" / "config.json").write_text("{}")
    service = folder.services("vllm: {model: ./tiny, profile: cpu, tool_call_parser: hermes}")["vllm"]
    assert (service.command or [])[:3] == ["/models/tiny", "--served-model-name", "tiny"]
    assert (service.environment or {})["HF_HUB_OFFLINE"] == "1"
    assert service.plain()["volumes"][1]["source"] == str(folder.path / "tiny")


@pytest.mark.parametrize("path", sorted(assets.folder("compose").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_fragment_is_a_compose_file_of_its_own(path: Path) -> None:
    document = ComposeDocument.model_validate(yaml.safe_load(path.read_text()))
    assert check_document(document) == []
    (service,) = document.services.values()
    assert fragment(path.stem).image == service.image


def test_the_token_of_the_shell_is_used_where_the_configuration_has_none(folder: Folder) -> None:
    def planned(block: str, *arguments: str) -> StackPlan:
        config = folder.config(block, *arguments)
        return plan_stack(config, name="s", options=StackOptions(version="1", hub_token="hf_fromTheShell"))

    plan = planned("vllm: {model: Qwen/Qwen3-8B, prefetch: true}")
    taken = {service.name: service.secrets for service in plan.services if service.secrets}
    assert taken == {"vllm-prefetch": ("HF_TOKEN",), "vllm": ("HF_TOKEN",)}
    assert plan.secrets == {"HF_TOKEN": "hf_fromTheShell"}
    assert any("HF_TOKEN" in note for note in plan.notes)
    text = render_stack(plan)
    assert "hf_fromTheShell" not in text
    assert "HF_TOKEN_PATH: /run/secrets/HF_TOKEN" in text
    own = planned("vllm: {model: Qwen/Qwen3-8B}", "++hf_token=hf_ofTheConfiguration")
    assert "hf_fromTheShell" not in own.secrets.values()
    local = folder.path / "model"
    local.mkdir()
    (local / "config.json").write_text("{}")
    assert planned(f"vllm: {{model: {local}, profile: cpu}}").secrets == {}


def test_a_cache_folder_of_this_machine_can_be_written_by_the_containers_root(folder: Folder) -> None:
    services = folder.services("vllm: {model: Qwen/Qwen3-8B, cache_volume: /home/me/hf, prefetch: true}")
    assert services["vllm"].cap_add == services["vllm-prefetch"].cap_add == ["DAC_OVERRIDE"]
    assert services["vllm"].cap_drop == ["ALL"]
    named = folder.services("vllm: {model: Qwen/Qwen3-8B, cache_volume: mine}")
    assert named["vllm"].cap_add is None
