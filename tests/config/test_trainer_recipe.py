"""A recipe of NeMo RL is loaded as the configuration in its ``env.nemo_gym``."""

from __future__ import annotations

import pytest
from config_files import MODEL, STEPS, Folder

from gymctl.config import MergeOrder
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
