"""The ``vllm:`` block: what it means, whom it serves, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from config_files import Folder

from gymctl.config import Config, VllmBlock
from gymctl.config.blocks.schema import schema
from gymctl.config.vllm.families import tool_parser
from gymctl.errors import ConfigError

# As NeMo Gym's own configs/vllm_model.yaml: nobody sets the three that it refers to.
SERVER = """
policy_model:
  responses_api_models:
    vllm_model:
      entrypoint: app.py
      base_url: ${policy_base_url}
      api_key: ${policy_api_key}
      model: ${policy_model_name}
      uses_reasoning_parser: true
"""


def loaded(folder: Folder, block: str, *arguments: str, server: str = SERVER) -> Config:
    folder.write("server.yaml", server)
    return folder.load("server.yaml", folder.write("b.yaml", block), *arguments)


def problems(folder: Folder, block: str, *arguments: str, server: str = SERVER) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, block, *arguments, server=server)
    return [str(problem) for problem in caught.value.problems]


def only(config: Config) -> VllmBlock:
    (block,) = config.vllm.values()
    return block


def fields(config: Config, name: str = "policy_model") -> Any:
    return config.servers[name].fields


def made_model(folder: Folder, heads: int, where: str = "tiny") -> str:
    place = folder.path / where
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"num_attention_heads": heads}))
    return f"./{where}"


def test_a_server_that_was_left_open_takes_the_only_block(folder: Folder) -> None:
    config = loaded(folder, "vllm: {model: Qwen/Qwen3-8B}")
    assert fields(config)["base_url"] == "http://vllm:8000/v1"
    assert fields(config)["model"] == "Qwen/Qwen3-8B"
    assert fields(config)["api_key"] == "EMPTY"
    assert config.secrets == {}
    assert config.notes == ()


def test_a_server_with_an_endpoint_of_its_own_keeps_it(folder: Folder) -> None:
    arguments = ("+policy_base_url=http://gpu:1/v1", "+policy_api_key=k", "+policy_model_name=m")
    config = loaded(folder, "vllm: {model: Qwen/Qwen3-8B}", *arguments)
    assert (fields(config)["base_url"], fields(config)["model"]) == ("http://gpu:1/v1", "m")
    assert config.notes == (
        "b.yaml:1: no model server calls vllm; add `vllm: vllm` to a vllm_model, or remove the block [vllm-unused]",
    )


def test_a_server_names_its_block_and_an_endpoint_then_says_nothing(folder: Folder) -> None:
    arguments = ("+policy_base_url=http://gpu:1/v1", "++policy_model.responses_api_models.vllm_model.vllm=judge")
    block = "vllm: {small: {model: Qwen/Qwen3-4B}, judge: {model: Qwen/Qwen3-8B, instances: 2, served_model_name: big}}"
    config = loaded(folder, block, *arguments)
    assert fields(config)["base_url"] == ["http://vllm-judge-1:8000/v1", "http://vllm-judge-2:8000/v1"]
    assert fields(config)["model"] == "big"
    assert [block.services for block in config.vllm.values()] == [("vllm-small",), ("vllm-judge-1", "vllm-judge-2")]


def test_the_model_asked_for_is_the_one_served(folder: Folder) -> None:
    block = "vllm: {model: Qwen/Qwen3-8B}"
    assert problems(folder, block, "+policy_model_name=gpt-4") == [
        "server.yaml:8: policy_model requests the model 'gpt-4', but vllm serves 'Qwen/Qwen3-8B'; "
        "remove model, or set vllm.served_model_name to the same name"
    ]
    config = loaded(folder, block, "+policy_model_name=gpt-4", "++vllm.served_model_name=gpt-4")
    assert fields(config)["model"] == "gpt-4"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("vllm: [1]", "b.yaml:1: vllm is not a block; write vllm: {model: ORGANISATION/NAME}"),
        (
            "vllm:\n  modle: a/b\n",
            "b.yaml:2: unknown key 'vllm.modle'; did you mean 'model'?",
        ),
        (
            "vllm:\n  model: a/b\n  tensor_paralel_size: 2\n",
            "b.yaml:3: unknown key 'vllm.tensor_paralel_size'; did you mean 'tensor_parallel_size'?",
        ),
        (
            "vllm:\n  b:\n    model: a/b\n    gpus: two\n",
            "b.yaml:4: vllm.b.gpus is 'two'; it must be a number from 1 to 4096",
        ),
        ("vllm: {model: a/b, profile: tpu}", "b.yaml:1: vllm.profile is 'tpu'; it must be gpu or cpu"),
        (
            "vllm: {model: a/b, gpu_memory_utilization: 90}",
            "b.yaml:1: vllm.gpu_memory_utilization is 90; it must be a fraction above 0 and at most 1",
        ),
        (
            "vllm: {model: a/b, instances: 100000}",
            "b.yaml:1: vllm.instances is 100000; it must be a number from 1 to 4096",
        ),
        (
            "vllm: {model: a/b, gpu_ids: [-1, a]}",
            "b.yaml:1: vllm.gpu_ids is [-1, 'a']; it must be a list of GPU numbers or UUIDs (GPU-..., MIG-...)",
        ),
        (
            "vllm: {model: a/b, image: my image}",
            "b.yaml:1: vllm.image is 'my image'; it must be an image's name, such as vllm/vllm-openai:v0.11.0",
        ),
        (
            "vllm: {model: a/b, dtype: foo}",
            "b.yaml:1: vllm.dtype is 'foo'; it must be one of auto, half, float16, bfloat16, float, float32",
        ),
        (
            "vllm: {model: a/b, shm_size: big}",
            "b.yaml:1: vllm.shm_size is 'big'; it must be a size with its unit, such as 512mb or 16gb",
        ),
        (
            "vllm: {model: a/b, cache_volume: ./x}",
            "b.yaml:1: vllm.cache_volume is './x'; "
            "it must be the name of a volume, or an absolute path of a directory on this machine",
        ),
        (
            "vllm: {model: a/b, cache_volume: a b}",
            "b.yaml:1: vllm.cache_volume is 'a b'; "
            "it must be the name of a volume, or an absolute path of a directory on this machine",
        ),
        (
            "vllm: {model: a/b, port: 10999, instances: 2}",
            "b.yaml:1: vllm-2: port 11000 of this machine is already used by the head server; choose another port",
        ),
        (
            "vllm: {A_b: {model: a/b}}",
            "b.yaml:1: 'A_b' is not a valid name for a vllm block; use lower-case letters, digits and -: "
            "it is part of a host name",
        ),
        (
            "vllm: {model: a/b, extra_args: {tensor-parallel-size: 2}}",
            "b.yaml:1: vllm: extra_args contains --tensor-parallel-size; use the block's key tensor_parallel_size",
        ),
        (
            "vllm: {model: a/b, extra_args: [-tp, 2]}",
            "b.yaml:1: vllm: extra_args contains --tp; use the block's key tensor_parallel_size",
        ),
        (
            "vllm: {model: a/b, extra_args: [--api-key=secret]}",
            "b.yaml:1: vllm: extra_args contains --api-key; remove it; the stack sets it",
        ),
        (
            "vllm: {model: a/b, ipc: host, shm_size: 1gb}",
            "b.yaml:1: vllm: shm_size has no effect with `ipc: host`, which uses the host's shared memory; "
            "keep one of them",
        ),
        (
            "vllm: {model: a/b, environment: {A-B: 1}}",
            "b.yaml:1: vllm: 'A-B' is not a name of an environment variable; use letters, digits and _",
        ),
        (
            "vllm: {model: a/b, chat_template: nowhere.jinja}",
            "b.yaml:1: vllm.chat_template: file {cwd}/nowhere.jinja does not exist; give the path of a Jinja file",
        ),
        (
            "vllm: {model: ./nowhere}",
            "b.yaml:1: vllm.model: {cwd}/nowhere is not a directory; use a directory written by `save_pretrained`; "
            "names of models on the hub do not start with / or .",
        ),
    ],
)
def test_a_wrong_block(folder: Folder, block: str, message: str) -> None:
    messages = problems(folder, block, "+policy_model_name=a/b")
    assert message.replace("{cwd}", str(folder.path)) in messages


@pytest.mark.parametrize("image", ["mine", "vllm/vllm-openai:v0.11.0", f"Reg.example:5000/a/b_c@sha256:{'0' * 64}"])
def test_the_name_of_an_image(folder: Folder, image: str) -> None:
    assert only(loaded(folder, f"vllm: {{model: a/b, image: '{image}'}}")).image == image


def test_blocks_on_one_port_and_those_of_several_machines(folder: Folder) -> None:
    blocks = "vllm: {a: {model: a/b, port: 8100}, b: {model: c/d, port: 8100}}"
    server = SERVER + "      vllm: a\n"
    assert problems(folder, blocks, server=server) == [
        "b.yaml:1: vllm-b: port 8100 of this machine is already used by vllm-a; choose another port"
    ]
    assert len(loaded(folder, blocks, server=server + "      host: 10.0.0.2\n").vllm) == 2


def test_what_follows_from_a_wrong_block_is_not_missing_besides(folder: Folder) -> None:
    messages = problems(folder, "vllm: {model: a/b, port: nine}")
    assert messages == ["b.yaml:1: vllm.port is 'nine'; it must be a number from 1 to 65535"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            "tensor_parallel_size: 4, gpus: 3",
            "GYM030 3 GPUs per instance, but the parallel sizes use 4 (tensor 4 x pipeline 1 x data 1 = 4)",
        ),
        ("tensor_parallel_size: 2, gpus: 4", "data_parallel_size: 2 would use all of them; or request 2"),
        ("gpu_ids: [0, 1, 2], instances: 2", "GYM031 gpu_ids has 3, expected 2 for 2 instances of 1"),
        ("gpu_ids: [0, 1, 0, 2], instances: 2, tensor_parallel_size: 2", "GYM032 gpu_ids lists 0 twice"),
    ],
)
def test_gpus_that_do_not_come_out_even(folder: Folder, block: str, message: str) -> None:
    (problem,) = problems(folder, f"vllm: {{model: a/b, {block}}}")
    assert message in problem


def test_two_blocks_on_one_gpu(folder: Folder) -> None:
    block = "vllm:\n  a: {model: a/b, gpu_ids: [3]%s}\n  b: {model: c/d, gpu_ids: [3]%s}\n"
    server = SERVER + "      vllm: a\n"
    (problem,) = problems(folder, block % ("", ""), server=server)
    assert problem.startswith("b.yaml:3: vllm.b: GYM032 GPU 3 is already used by vllm.a (memory 0.92 + 0.92 > 1)")
    shared = loaded(folder, block % ((", gpu_memory_utilization: 0.5",) * 2), server=server)
    assert [block.gpu_ids for block in shared.vllm.values()] == [("3",), ("3",)]


def test_instances_and_blocks_get_gpus_of_their_own(folder: Folder) -> None:
    # Docker gives each service that asks for a count the first GPUs of the machine: the same ones
    block = (
        "vllm:\n  a: {model: a/b, tensor_parallel_size: 2, instances: 2}\n  b: {model: c/d, gpu_ids: [1]}\n"
        "  c: {model: e/f, profile: cpu}\n  d: {model: g/h, data_parallel_size: 2}\n"
    )
    config = loaded(folder, block, server=SERVER + "      vllm: a\n")
    assert {name: block.gpu_ids for name, block in config.vllm.items()} == {
        "a": ("0", "2", "3", "4"),
        "b": ("1",),
        "c": (),
        "d": ("5", "6"),
    }
    assert only(loaded(folder, "vllm: {model: a/b, tensor_parallel_size: 8}")).gpu_ids == ()


def test_attention_heads_of_a_model_at_hand(folder: Folder) -> None:
    model = made_model(folder, 12)
    block = f"vllm: {{model: {model}, tensor_parallel_size: %s}}"
    (problem,) = problems(folder, block % 8)
    assert problem == (
        "b.yaml:1: vllm: GYM033 tensor_parallel_size is 8, but the model has 12 attention heads; "
        "it must be a divisor: 1, 2, 3, 4, 6"
    )
    config = loaded(folder, block % 4)
    assert only(config).model == str(folder.path / "tiny")
    assert fields(config)["model"] == "tiny"


def test_weights_that_a_container_may_not_read(folder: Folder) -> None:
    model = made_model(folder, 12)
    weights = folder.path / "tiny" / "model.safetensors"
    weights.touch(mode=0o600)
    (problem,) = problems(folder, f"vllm: {{model: {model}}}")
    assert f"{weights} is readable only by its owner, but the container runs as another user; chmod -R a+rX" in problem


def test_the_cpu_profile_makes_nothing_of_gpus_and_says_so(folder: Folder) -> None:
    config = loaded(folder, "vllm: {model: Qwen/Qwen2.5-0.5B-Instruct, tensor_parallel_size: 4}", "++vllm.profile=cpu")
    assert only(config).gpus_used == 1
    assert config.notes == (
        "command line (++vllm.profile): vllm: tensor_parallel_size is ignored with `profile: cpu` [vllm-unused]",
    )


def test_arguments_of_their_own(folder: Folder) -> None:
    block = (
        "vllm: {model: a/b, extra_args: {max_num_seqs: 8, swap: null, enable-x: true, y: false, o: {a: 1}, l: [1, 2]}}"
    )
    assert only(loaded(folder, block)).extra_args == (
        *("--max-num-seqs", "8", "--enable-x", "--no-y", "--o", '{"a": 1}', "--l", "1", "2"),
    )
    assert only(loaded(folder, "vllm: {model: a/b, extra_args: [--seed, 7]}")).extra_args == ("--seed", "7")


@pytest.mark.parametrize(
    ("model", "parser"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "hermes"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "hermes"),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "qwen3_coder"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3_json"),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "hermes"),
        ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", "mistral"),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v31"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek_v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", None),
        ("openai/gpt-oss-20b", "openai"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B", "qwen3_coder"),
        ("someone/unheard-of", None),
    ],
)
def test_the_parser_of_a_family(model: str, parser: str | None) -> None:
    assert tool_parser(VllmBlock(model=model)) == parser
    assert tool_parser(VllmBlock(model=model, tool_call_parser="pythonic")) == "pythonic"
    assert tool_parser(VllmBlock(model=model, tool_call_parser="none")) is None


def test_a_server_that_does_not_say_which_block(folder: Folder) -> None:
    assert problems(folder, "vllm: {a: {model: a/b}, b: {model: c/d}}") == [
        "server.yaml:4: policy_model has no base_url, but there are 2 vllm blocks; add `vllm: a` to it, or one of: b"
    ]


def test_notes_on_parsers(folder: Folder) -> None:
    (note,) = loaded(folder, "vllm: {model: Qwen/Qwen2.5-7B-Instruct, tool_call_parser: lama3_json}").notes
    assert note == (
        "b.yaml:1: vllm: the tool-call parser of Qwen2.5 models is hermes, not lama3_json; "
        "with another parser, tool calls arrive as text; check the spelling [vllm-parser]"
    )
    (note,) = loaded(folder, "vllm: {model: a/unheard-of}").notes
    assert "no known tool-call parser for a/unheard-of" in note
    assert loaded(folder, "vllm: {model: a/unheard-of, tool_call_parser: none}").notes == ()
    (note,) = loaded(folder, "vllm: {model: deepseek-ai/DeepSeek-R1-0528}").notes
    assert "add reasoning_parser: deepseek_r1" in note


def test_who_takes_the_thoughts_out(folder: Folder) -> None:
    """With NeMo Gym, a parser in vLLM and ``uses_reasoning_parser: false`` end every rollout with a 500."""
    block = "vllm: {model: Qwen/Qwen3-8B, reasoning_parser: qwen3}"
    assert loaded(folder, block).notes == ()
    (problem,) = problems(folder, block, server=SERVER.replace("parser: true", "parser: false"))
    assert problem == (
        "server.yaml:9: policy_model: uses_reasoning_parser is false, but vllm has reasoning_parser: qwen3; "
        "set it to true, or remove the parser: the model server finds <think> itself"
    )


def test_a_server_may_still_be_called_vllm(folder: Folder) -> None:
    server = "vllm:\n  responses_api_models:\n    openai_model:\n      entrypoint: app.py\n"
    server += "      openai_base_url: http://a/v1\n      openai_api_key: x\n      openai_model: m\n"
    config = folder.load(folder.write("s.yaml", server))
    assert list(config.servers) == ["vllm"]
    assert config.vllm == {}


def test_a_name_that_is_no_block(folder: Folder) -> None:
    server = SERVER + "      vllm: judg\n"
    (problem,) = problems(folder, "vllm: {judge: {model: a/b}, policy: {model: c/d}}", server=server)
    assert problem == ("server.yaml:10: policy_model.vllm: unknown vllm block 'judg'; did you mean 'judge'?")
    (problem,) = problems(folder, "{}", server=server)
    assert problem.endswith(
        "the configuration has no vllm block; add one at the top level: vllm: {model: ORGANISATION/NAME}"
    )


def test_a_server_and_a_service_of_one_name(folder: Folder) -> None:
    server = SERVER.replace("policy_model:", "vllm-judge:")
    (problem,) = problems(folder, "vllm: {judge: {model: a/b}}", server=server)
    assert problem == "b.yaml:1: vllm.judge has a service vllm-judge, which is also the name of a server; rename one"
    blocks = "vllm: {a: {model: a/b, instances: 2}, a-2: {model: c/d}}"
    (problem,) = problems(folder, blocks, server=SERVER + "      vllm: a\n")
    assert problem == "b.yaml:1: vllm.a-2 has a service vllm-a-2, which is also the name of one of vllm.a; rename one"


def test_the_schema_for_editors_knows_the_keys() -> None:
    validator = jsonschema_rs.validator_for(schema())
    good = [{"model": "a/b", "x-note": 1}, {"a": {"model": "a/b"}}, {"responses_api_models": {}}, None]
    assert [validator.is_valid({"vllm": block}) for block in good] == [True] * 4
    assert [validator.is_valid({"vllm": block}) for block in ({"modle": "a"}, {"a": {"modle": "b"}})] == [False] * 2


def test_paths_are_those_of_the_working_directory(folder: Folder, tmp_path: Path) -> None:
    folder.write("t.jinja", "{{ messages }}")
    config = loaded(folder, "vllm: {model: a/b, chat_template: t.jinja}")
    assert only(config).chat_template == str(tmp_path / "t.jinja")
