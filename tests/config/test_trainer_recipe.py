"""A recipe of NeMo RL is loaded as the configuration in its ``env.nemo_gym``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from config_files import MODEL, OPENAI, STEPS, TOOL, Folder

from gymctl.config import MergeOrder
from gymctl.config.sources.nemo_rl import TRAINER_KEYS, TRAINER_POLICY_KEY
from gymctl.errors import ConfigError

BASE = f"""
policy:
  model_name: org/model-8b
  max_total_sequence_length: 4096
  names: {{first: alpha, again: "${{policy.names.first}}"}}
grpo: {{num_prompts_per_step: 4}}
env:
  should_use_nemo_gym: true
  nemo_gym:
    config_paths: [model.yaml, {STEPS}]
    is_trajectory_collection: true
    example_multi_step_simple_agent:
      responses_api_agents:
        simple_agent:
          max_steps: 3
"""
CHILD = """
defaults: base/recipe.yaml
policy: {model_name: org/model-30b}
env:
  nemo_gym:
    num_gpu_nodes: 2
    example_multi_step_simple_agent:
      responses_api_agents:
        simple_agent:
          max_steps: ${policy.max_total_sequence_length}
          note: "a ${policy.names.again} b"
          key: ${oc.env:RECIPE_KEY}
          model: \\${policy_model_name}
          names: ${policy.names}
"""
AGENT = "example_multi_step_simple_agent"


@pytest.fixture(name="recipes")
def recipes_fixture(folder: Folder) -> Folder:
    folder.write("model.yaml", MODEL)
    folder.write("base/recipe.yaml", BASE)
    folder.write("child.yaml", CHILD)
    return folder


@pytest.mark.parametrize("order", list(MergeOrder))
def test_the_block_overrides_its_defaults_and_the_files_that_it_includes(recipes: Folder, order: MergeOrder) -> None:
    config = recipes.load("child.yaml", environ={"RECIPE_KEY": "a-key-of-the-recipe"}, merge_order=order)
    fields = config.servers[AGENT].fields
    assert fields["max_steps"] == 4096
    assert fields["note"] == "a alpha b"
    assert fields["model"] == "org/model-30b"
    assert fields["names"] == {"first": "alpha", "again": "alpha"}
    assert "a-key-of-the-recipe" in config.secrets.values()
    assert not {"policy", "grpo", "env", "is_trajectory_collection"} & config.values.keys()


def test_an_override_and_env_yaml_win_over_a_recipe(recipes: Folder) -> None:
    recipes.write("env.yaml", "policy_model_name: mine\n")
    override = f"++{AGENT}.responses_api_agents.simple_agent.max_steps=9"
    fields = recipes.load("child.yaml", override, environ={"RECIPE_KEY": "k"}).servers[AGENT].fields
    assert (fields["max_steps"], fields["model"]) == (9, "mine")


@pytest.mark.parametrize("policy", ["{model_name: null}", "{_override_: true, max_total_sequence_length: 1}"])
def test_a_recipe_whose_launcher_sets_the_model_needs_only_its_name(recipes: Folder, policy: str) -> None:
    text = f"defaults: base/recipe.yaml\npolicy: {policy}\nenv: {{nemo_gym: {{config_paths: [{OPENAI}]}}}}\n"
    recipes.write("launched.yaml", text)
    base_url = "++policy_base_url=http://policy.example/v1"
    refusal = recipes.refusal("launched.yaml", base_url)
    assert "policy_model_name, which is not set" in refusal and "policy_api_key" not in refusal
    config = recipes.load("launched.yaml", base_url, "++policy_model_name=org/model-8b")
    assert config.servers["policy_model"].fields["openai_model"] == "org/model-8b"
    assert config.servers["policy_model"].fields["openai_api_key"] == TRAINER_POLICY_KEY


def test_a_note_lists_what_is_not_used(recipes: Folder) -> None:
    notes = [note for note in recipes.load("child.yaml", environ={"RECIPE_KEY": "k"}).notes if "[recipe]" in note]
    assert notes == [
        "child.yaml: this is a recipe of NeMo RL; only its env.nemo_gym is used. Not used: policy, grpo, "
        "is_trajectory_collection, num_gpu_nodes [recipe]"
    ]


def test_a_mapping_can_replace_the_one_of_a_default(recipes: Folder) -> None:
    recipes.write(
        "replaced.yaml",
        f"""
        defaults: [base/recipe.yaml]
        env:
          nemo_gym:
            {AGENT}:
              _override_: true
              responses_api_agents: {{simple_agent: {{num_workers: 2}}}}
        """,
    )
    fields = recipes.load("replaced.yaml").servers[AGENT].fields
    assert fields["num_workers"] == 2
    assert fields.get("max_steps") != 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("defaults: absent.yaml\n", "absent.yaml"),
        ("defaults: wrong.yaml\n", "wrong.yaml:1: wrong.yaml includes itself"),
        (
            "policy: {}\nenv: {nemo_gym: {a: '${policy.name}'}}\n",
            "refers to policy.name, which the recipe does not set",
        ),
        ("policy: {a: '${policy.b}', b: '${policy.a}'}\nenv: {nemo_gym: {c: '${policy.a}'}}\n", "refers to itself"),
    ],
)
def test_mistakes_name_their_place(recipes: Folder, text: str, problem: str) -> None:
    recipes.write("wrong.yaml", text)
    with pytest.raises(ConfigError) as caught:
        recipes.load("wrong.yaml")
    assert problem in str(caught.value.problems[0])


def test_references_that_multiply_are_refused(recipes: Folder) -> None:
    doubled = ", ".join(f"v{n}: '${{policy.v{n - 1}}}${{policy.v{n - 1}}}'" for n in range(1, 40))
    recipes.write("bomb.yaml", f"policy: {{v0: x, {doubled}}}\nenv: {{nemo_gym: {{a: '${{policy.v39}}'}}}}\n")
    with pytest.raises(ConfigError, match="too many values"):
        recipes.load("bomb.yaml")


def test_a_stack_with_an_environment_called_env_is_not_a_recipe(folder: Folder) -> None:
    folder.write("model.yaml", MODEL.replace("policy_model", "env"))
    assert list(folder.load("model.yaml").servers) == ["env"]


def own_agent(recipes: Folder, fields: str, **environ: str) -> Mapping[str, Any]:
    """The fields of the agent of a recipe that sets these of it, as YAML in one line."""
    recipes.write(
        "own.yaml",
        f"""
        defaults: base/recipe.yaml
        data: {{train: [{{data_path: /data/a.jsonl}}]}}
        policy:
          again: "${{.max_total_sequence_length}}"
          both: "${{policy.sizes.same}}"
          sizes: {{both: "${{mul:2, ${{..again}}}}", same: "${{.both}}"}}
        env: {{nemo_gym: {{{AGENT}: {{responses_api_agents: {{simple_agent: {fields}}}}}}}}}
        """,
    )
    return recipes.load("own.yaml", environ=environ).servers[AGENT].fields


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${mul:2,3}", 6),
        ("${add:${policy.max_total_sequence_length},-96}", 4000),
        ("${ sub : ${policy.max_total_sequence_length} , ${grpo.num_prompts_per_step}}", 4092),
        ("${mul:${add:1, ${grpo.num_prompts_per_step}}, ${mul:2, 2}}", 20),
        ("${div:${grpo.num_prompts_per_step},8}", 0.5),
        ("${max:${grpo.num_prompts_per_step}, 2}", 4),
        ("${add:${oc.decode:${oc.env:STEPS,7}},1}", 8),
        ("${add:${oc.decode:${oc.env:SET_STEPS}},1}", 12),
        ("up to ${mul:${grpo.num_prompts_per_step},10} of them", "up to 40 of them"),
        ("${data.train[0].data_path}", "/data/a.jsonl"),
        ("in ${data.train[0].data_path}", "in /data/a.jsonl"),
        ("${policy.again}", 4096),
        ("${add:${policy.sizes.both},1}", 8193),
        ("${policy.both}", 8192),
    ],
)
def test_functions_and_list_items_of_a_recipe(recipes: Folder, text: str, value: object) -> None:
    fields = own_agent(recipes, f"{{setting: '{text}', nested: [{{setting: '{text}'}}]}}", SET_STEPS="11")
    assert fields["setting"] == value
    assert fields["nested"] == [{"setting": value}]


def test_relative_references_in_the_block(recipes: Folder) -> None:
    fields = own_agent(recipes, "{one: 3, two: '${.one}', deep: {three: '${..two}', model: '${..model_server.name}'}}")
    assert fields["two"] == 3
    assert fields["deep"] == {"three": 3, "model": "policy_model"}  # the file that the recipe includes sets it


@pytest.mark.parametrize(
    "text", ["${add:1}", "${add:a,2}", "${data.train[1].data_path}", "${data.train[x]}", "${.absent}"]
)
def test_a_function_or_item_that_does_not_exist_is_a_problem(recipes: Folder, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        own_agent(recipes, f"{{setting: '{text}'}}")
    assert "setting" in str(caught.value.problems[0])


def test_other_configurations_have_no_functions(recipes: Folder) -> None:
    with pytest.raises(ConfigError, match="Unsupported interpolation type add"):
        recipes.load(
            "model.yaml", f"+config_paths=[{STEPS}]", f"++{AGENT}.responses_api_agents.simple_agent.a=${{add:1,2}}"
        )


SHARDED = f"""
defaults: base/recipe.yaml
env:
  nemo_gym:
    config_paths: null
    judge: {{responses_api_models: {{scripted_model: {{entrypoint: app.py}}}}}}
    common_inherited_overlays: [judge]
    common_overrides: {{judge: {{responses_api_models: {{scripted_model: {{num_workers: 2}}}}}}}}
    shards:
    - {{name: a, replicas: 2, config_paths: [model.yaml, {STEPS}]}}
    - name: b
      config_paths: [model.yaml, {TOOL}]
      overrides: {{example_single_tool_call_simple_agent: {{responses_api_agents: {{simple_agent: {{max_steps: 7}}}}}}}}
"""


@pytest.mark.parametrize("text", [SHARDED, SHARDED.replace("    config_paths: null\n", "")])
def test_shards_of_a_recipe_are_one_stack(recipes: Folder, text: str) -> None:
    if text != SHARDED:
        recipes.write("base/recipe.yaml", BASE.replace(f"    config_paths: [model.yaml, {STEPS}]\n", ""))
    recipes.write("sharded.yaml", text)
    config = recipes.load("sharded.yaml")
    assert {AGENT, "example_single_tool_call_simple_agent", "policy_model", "judge"} <= config.servers.keys()
    assert config.servers["judge"].fields["num_workers"] == 2
    assert config.servers["example_single_tool_call_simple_agent"].fields["max_steps"] == 7
    assert config.servers[AGENT].fields["max_steps"] == 3
    note = next(note for note in config.notes if "[recipe]" in note)
    assert "shards" in note and "common_overrides" in note


def test_a_file_of_a_shard_that_does_not_exist_has_its_place(recipes: Folder) -> None:
    recipes.write("sharded.yaml", SHARDED.replace(TOOL, "absent.yaml"))
    with pytest.raises(ConfigError, match=r"sharded\.yaml:\d+: absent\.yaml: no such file"):
        recipes.load("sharded.yaml")


@pytest.mark.parametrize(
    "shards", ["[]", "null", "{a: 1}", "[1]", "[{}]", "[{config_paths: a}]", "[{overrides: null}]"]
)
def test_shards_that_are_none_add_nothing(recipes: Folder, shards: str) -> None:
    recipes.write("own.yaml", f"defaults: base/recipe.yaml\nenv: {{nemo_gym: {{shards: {shards}}}}}\n")
    assert AGENT in recipes.load("own.yaml").servers


@pytest.mark.parametrize("key", sorted(TRAINER_KEYS))
def test_keys_of_nemo_rl_are_not_passed_on(recipes: Folder, key: str) -> None:
    recipes.write("own.yaml", f"defaults: base/recipe.yaml\nenv: {{nemo_gym: {{{key}: {{a: 1}}}}}}\n")
    config = recipes.load("own.yaml")
    assert key not in config.resolved
    assert any(key in note for note in config.notes if "[recipe]" in note)


def test_files_of_nemo_gym_are_looked_up_without_their_folder_in_nemo_rl(recipes: Folder) -> None:
    path = f"3rdparty/Gym-workspace/Gym/{STEPS}"
    recipes.write(
        "own.yaml", f"defaults: base/recipe.yaml\nenv: {{nemo_gym: {{config_paths: [model.yaml, {path}]}}}}\n"
    )
    assert AGENT in recipes.load("own.yaml").servers
    recipes.write(path, "judge: {responses_api_models: {scripted_model: {entrypoint: app.py}}}\n")
    assert "judge" in recipes.load("own.yaml").servers  # a file that exists is that file


def test_files_that_nemo_gym_does_not_have_are_reported_with_their_whole_path(recipes: Folder) -> None:
    path = "3rdparty/Gym-workspace/Gym/resources_servers/absent/configs/absent.yaml"
    recipes.write("own.yaml", f"defaults: base/recipe.yaml\nenv: {{nemo_gym: {{config_paths: [{path}]}}}}\n")
    with pytest.raises(ConfigError, match=r"resources_servers/absent/configs/absent\.yaml: no such file"):
        recipes.load("own.yaml")
