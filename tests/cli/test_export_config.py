"""``gymctl export-config``: what NeMo RL gives to NeMo Gym's parser, and what that makes of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_stack import EXAMPLE, GOOD, Gymctl
from omegaconf import DictConfig, ListConfig, OmegaConf
from upstream_client import interpreter

from gymctl import assets
from gymctl.config import load_config
from gymctl.errors import InputError
from gymctl.operations.trainer_config import nemo_rl_config

SECRET = "sk-a-key-that-nobody-may-see"
HARD = "\\${a} $${b} ${not.a.key} \\\\${c} 100% $HOME"
JUDGED = """\
policy_model:
  responses_api_models:
    vllm_model:
      entrypoint: app.py
      base_url: http://10.0.0.7:8000/v1
      api_key: EMPTY
      model: mine
      return_token_id_information: false
      uses_reasoning_parser: false
      chat_template_kwargs: {enable_thinking: false}
      replicas: 2
judge:
  responses_api_models:
    openai_model:
      entrypoint: app.py
      openai_base_url: https://judge.example.com/v1
      openai_api_key: ${oc.env:JUDGE_KEY}
      openai_model: big
      port: 9100
tools:
  resources_servers:
    example_multi_step:
      entrypoint: app.py
      domain: agent
      prompt: PROMPT
      runtime: gymctl
      start_period: 10m
      resources: {memory: 2gb}
      judge_model_server: {type: responses_api_models, name: judge}
agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      max_steps: 7
      resources_server: {type: resources_servers, name: tools}
      model_server: {type: responses_api_models, name: policy_model}
limit_of_mine: 3
skip_verification: false
"""
# What NeMo RL does with its file: it resolves all of it, adds the policy, and gives the rest to NeMo Gym's parser
TRAINER = """
import json, sys
from omegaconf import DictConfig, OmegaConf
from nemo_gym.global_config import GlobalConfigDictParser, GlobalConfigDictParserConfig

whole = OmegaConf.to_container(OmegaConf.load(sys.argv[1]), resolve=True)
gym = whole["env"]["nemo_gym"]
gym |= {"policy_model_name": "trained", "policy_api_key": "dummy_key", "policy_base_url": ["http://10.1.1.1:8000/v1"]}
gym |= {"default_host": "10.1.1.2", "port_range_low": 5000, "port_range_high": 5999}
gym |= {"head_server": {"host": "0.0.0.0", "port": 5001}}
options = GlobalConfigDictParserConfig(
    initial_global_config_dict=DictConfig(gym), skip_load_from_cli=True, skip_load_from_dotenv=True
)
parsed = GlobalConfigDictParser().parse(options)
print(json.dumps({"printed": whole, "parsed": OmegaConf.to_container(parsed, resolve=True)}, default=str))
"""


def exported(folder: Path, text: str, policy: str | None = None) -> dict[str, Any]:
    """The exported document, which is in the folder's ``nemo_gym.yaml`` too."""
    (folder / "stack.yaml").write_text(text)
    config = load_config(["stack.yaml"], cwd=folder, environ={"JUDGE_KEY": SECRET})
    made = nemo_rl_config(config, policy)
    (folder / "nemo_gym.yaml").write_text(made.text)
    (folder / "notes").write_text("\n".join(made.notes))
    return dict(yaml.safe_load(made.text))


def resolved(config: DictConfig | ListConfig) -> dict[str, Any]:
    """The values of a configuration, as the trainer reads them."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)


def judged(prompt: str = "Be brief.") -> str:
    return JUDGED.replace("PROMPT", json.dumps(prompt.replace("\\", "\\\\").replace("${", "\\${")))


def test_the_same_servers_without_what_is_gymctls(tmp_path: Path) -> None:
    gym = exported(tmp_path, judged())["env"]["nemo_gym"]
    assert gym["config_paths"] == ["responses_api_models/vllm_model/configs/vllm_model_for_training.yaml"]
    assert gym["policy_model"] == {
        "responses_api_models": {
            "vllm_model": {"uses_reasoning_parser": False, "chat_template_kwargs": {"enable_thinking": False}}
        }
    }
    assert gym["tools"]["resources_servers"]["example_multi_step"] == {
        "entrypoint": "app.py",
        "domain": "agent",
        "prompt": "Be brief.",
        "judge_model_server": {"type": "responses_api_models", "name": "judge"},
    }
    assert gym["agent"]["responses_api_agents"]["simple_agent"]["max_steps"] == 7
    assert "port" not in gym["judge"]["responses_api_models"]["openai_model"]
    assert gym["skip_verification"] is False
    assert "head_server" not in gym


def test_a_secret_is_neither_in_the_file_nor_in_what_the_trainer_prints(tmp_path: Path) -> None:
    whole = exported(tmp_path, judged())
    assert SECRET not in json.dumps(whole)
    printed = resolved(OmegaConf.create(whole))
    judge = printed["env"]["nemo_gym"]["judge"]["responses_api_models"]["openai_model"]
    assert judge["openai_api_key"].startswith("${oc.env:")


@pytest.mark.parametrize("prompt", [HARD, "${x}", "\\${x}", "$x {y}", "é\n: #", "1e3", "true"])
def test_texts_come_out_of_both_readers_as_they_went_in(tmp_path: Path, prompt: str) -> None:
    exported(tmp_path, judged(prompt))
    first = resolved(OmegaConf.load(tmp_path / "nemo_gym.yaml"))
    again = resolved(OmegaConf.create(first["env"]["nemo_gym"]["tools"]))
    assert again["resources_servers"]["example_multi_step"]["prompt"] == prompt


def test_a_policy_of_another_name_is_a_copy_of_the_trainers(tmp_path: Path) -> None:
    text = GOOD.replace("policy_model", "mine")
    gym = exported(tmp_path, text)["env"]["nemo_gym"]
    assert gym["mine"] == {"_copy": "policy_model"}


@pytest.mark.parametrize(
    ("text", "policy", "message"),
    [
        (judged().replace("policy_model", "mine"), None, "name it with --policy: mine, judge"),
        (judged(), "jugde", "--policy jugde: not a model server of the configuration; did you mean 'judge'?"),
        (judged(), "tools", "--policy tools: not a model server"),
        (
            judged().replace("openai_model: big", 'openai_model: big\n      at: "http://10.0.0.9:9100"'),
            None,
            "judge runs elsewhere (`at`), and NeMo RL starts every server itself",
        ),
        (
            judged().replace(
                "    openai_model:\n      entrypoint: app.py\n      openai_base_url: https://judge.example.com/v1\n"
                "      openai_api_key: ${oc.env:JUDGE_KEY}\n      openai_model: big\n",
                "    vllm_model:\n      entrypoint: app.py\n      return_token_id_information: false\n"
                "      uses_reasoning_parser: false\n",
            )
            + "vllm: {model: org/judge}\n",
            None,
            "judge calls a model that the stack serves (`vllm` block), which NeMo RL does not start",
        ),
    ],
)
def test_what_the_trainer_cannot_start_is_refused(tmp_path: Path, text: str, policy: str | None, message: str) -> None:
    with pytest.raises(InputError) as caught:
        exported(tmp_path, text, policy=policy)
    assert message in str(caught.value)


def test_notes_name_variables_and_folders_to_copy(gymctl: Gymctl, folder: Path) -> None:
    printed = gymctl("export-config", assets.folder("examples") / "policy-and-judge", "--to", "nemo-rl")
    assert "note: policy_model: vllm_model replaces scripted_model, because it returns token ids" in printed.err
    assert "NeMo Gym does not bundle resources_servers/library_judge_math; copy its directory" in printed.err
    written = gymctl("export-config", EXAMPLE, "-o", "nemo_gym.yaml")
    assert written.code == 0
    assert (folder / "nemo_gym.yaml").read_text() == gymctl("export-config", EXAMPLE).out


@pytest.mark.upstream
@pytest.mark.processes
@pytest.mark.parametrize("name", ["policy_model", "mine"])
def test_the_parser_of_nemo_gym_accepts_it(tmp_path: Path, name: str) -> None:
    python = interpreter("0.7.0")
    exported(tmp_path, judged(HARD).replace("policy_model", name), policy=name)
    variable = (tmp_path / "notes").read_text().removeprefix("set these environment variables for NeMo RL: ")
    command = [str(python), "-c", TRAINER, str(tmp_path / "nemo_gym.yaml")]
    environ = {**os.environ, variable: SECRET}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert SECRET not in json.dumps(result["printed"])
    parsed = result["parsed"]
    policy = parsed[name]["responses_api_models"]["vllm_model"]
    assert policy["base_url"] == ["http://10.1.1.1:8000/v1"]
    assert (policy["model"], policy["return_token_id_information"]) == ("trained", True)
    assert policy["uses_reasoning_parser"] is False
    assert parsed["judge"]["responses_api_models"]["openai_model"]["openai_api_key"] == SECRET
    assert parsed["tools"]["resources_servers"]["example_multi_step"]["prompt"] == HARD
    agent = parsed["agent"]["responses_api_agents"]["simple_agent"]
    assert (agent["host"], 5000 <= agent["port"] <= 5999, agent["max_steps"]) == ("10.1.1.2", True, 7)
