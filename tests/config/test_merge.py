"""Layers merge as OmegaConf merges them, in upstream's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_files import MODEL, OPENAI, SCRIPTED, STEPS, TOOL, Folder
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gymctl.config import MergeOrder
from gymctl.config.diagnostics import Findings
from gymctl.config.sources.merge import merge_layers
from gymctl.config.sources.yaml_documents import Document
from gymctl.errors import ConfigError

_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "???", "yes", "${a}x"]))
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
_LAYERS = st.lists(st.dictionaries(st.sampled_from("abcd"), _VALUES, max_size=4), min_size=1, max_size=4)


@settings(max_examples=80, deadline=None)
@given(_LAYERS)
def test_merging_equals_omegaconf(layers: list[dict[str, Any]]) -> None:
    findings = Findings()
    ours = merge_layers([Document(str(index), layer) for index, layer in enumerate(layers)], {}, findings)
    try:
        theirs = OmegaConf.to_container(OmegaConf.merge(*(OmegaConf.create(layer) for layer in layers)))
    except TypeError:
        assert any("here but" in str(problem) for problem in findings.problems)  # a list over a mapping
        return
    assert ours == theirs
    assert not findings.problems


def test_a_reference_to_a_mapping_is_merged_into_as_omegaconf_does() -> None:
    layers: list[dict[str, Any]] = [{"b": {"x": 1}, "a": "${b}"}, {"a": {"y": 2}}]
    findings = Findings()
    ours = merge_layers([Document("", layer) for layer in layers], {}, findings)
    theirs: Any = OmegaConf.merge(*(OmegaConf.create(layer) for layer in layers))
    assert ours["a"] == OmegaConf.to_container(theirs.a) == {"x": 1, "y": 2}
    assert ours["b"] == {"x": 1}


def test_later_wins_files_then_env_then_overrides(folder: Folder) -> None:
    folder.write("env.yaml", "c: env\nd: env\n")
    folder.write("one.yaml", MODEL + "a: 1\nb: 1\nc: 1\nd: 1\nm: {x: 1, y: 1}\nl: [1, 2]\n")
    folder.write("two.yaml", "b: 2\nc: 2\nd: 2\nm: {y: 2}\nl: [3]\n")
    values = folder.load("one.yaml", "+d=cli", "two.yaml").values
    assert {key: values[key] for key in "abcdml"} == {
        "a": 1,
        "b": 2,
        "c": "env",
        "d": "cli",
        "m": {"x": 1, "y": 2},
        "l": [3],
    }


def test_the_seeds_ten_row_case_loads_without_a_note(folder: Folder) -> None:
    folder.write("env.yaml", "policy_base_url: http://localhost:1/v1\npolicy_api_key: sk-1\npolicy_model_name: m\n")
    config = folder.load(f"+config_paths=[{OPENAI},{TOOL},{STEPS}]")
    assert list(config.servers) == [
        "policy_model",
        "example_single_tool_call",
        "example_single_tool_call_simple_agent",
        "example_multi_step_resources_server",
        "example_multi_step_simple_agent",
    ]
    assert config.notes == ()


def test_the_seeds_shorthand_sets_the_server_s_field(folder: Folder) -> None:
    arguments = (f"+config_paths=[{OPENAI},{TOOL}]", "+policy_api_key=k", "+policy_base_url=u", "+policy_model_name=n")
    config = folder.load(
        *arguments,
        "+policy_model.openai_model.openai_base_url=http://your-vllm-server:10240",
        "+policy_model.openai_model.model_name=your-model-name",
    )
    fields = config.servers["policy_model"].fields
    assert (fields["openai_base_url"], fields["openai_model"]) == ("http://your-vllm-server:10240", "your-model-name")
    assert config.notes == ()
    place = config.origins.of(("policy_model", "responses_api_models", "openai_model", "openai_model"))
    assert str(place) == "command line (+policy_model.openai_model.model_name)"


class TestIncludes:
    """``config_paths`` in files."""

    @pytest.fixture
    def tree(self, folder: Folder) -> Folder:
        folder.write("top.yaml", "config_paths: [left.yaml, right.yaml]\nwho: top\n" + MODEL)
        folder.write("left.yaml", "config_paths: [deep.yaml]\nwho: left\nleft: 1\n")
        folder.write("right.yaml", "config_paths: [deep.yaml]\nwho: right\nleft: 2\n")
        folder.write("deep.yaml", "who: deep\nleft: 3\nconfig_paths: [top.yaml]\n")
        return folder

    def test_as_upstream_up_to_05_the_included_file_wins(self, tree: Folder) -> None:
        config = tree.load("top.yaml", gym_version="0.5.1")
        assert config.files == ("top.yaml", "left.yaml", "right.yaml", "deep.yaml")
        assert (config.values["who"], config.values["left"]) == ("deep", 3)

    @pytest.mark.parametrize("choice", [{}, {"gym_version": "0.6.0"}, {"merge_order": MergeOrder.INCLUDES_FIRST}])
    def test_as_upstream_since_06_the_includer_wins(self, tree: Folder, choice: dict[str, Any]) -> None:
        config = tree.load("top.yaml", **choice)
        assert config.files == ("deep.yaml", "left.yaml", "right.yaml", "top.yaml")
        assert (config.values["who"], config.values["left"]) == ("top", 2)
        assert config.merge_order is MergeOrder.INCLUDES_FIRST

    def test_a_file_can_ask_for_the_order(self, tree: Folder) -> None:
        tree.write("env.yaml", "gymctl: {merge_order: includes-last}\n")
        assert tree.load("top.yaml").values["who"] == "deep"
        assert tree.load("top.yaml", "+gymctl.merge_order=includes-first").values["who"] == "top"

    def test_a_wrong_order_is_refused_with_its_place(self, tree: Folder) -> None:
        tree.write("env.yaml", "gymctl:\n  merge_order: include-first\n")
        assert tree.refusal("top.yaml") == (
            "env.yaml:2: merge_order is 'include-first'; did you mean 'includes-first'?"
        )

    def test_an_overlay_that_loses_to_its_base_says_so(self, folder: Folder) -> None:
        folder.write("configs/base/models/policy_model.yaml", MODEL + "      temperature: 1.0\n")
        folder.write(
            "configs/prod.yaml",
            """
            config_paths: [base/models/policy_model.yaml]
            policy_model:
              responses_api_models:
                scripted_model:
                  temperature: 0.5
            """,
        )
        plain = folder.load("configs/prod.yaml", "+gymctl={merge_order: includes-last, silence: [unread-key]}")
        assert plain.servers["policy_model"].fields["temperature"] == 1.0
        assert plain.notes[0].startswith("configs/prod.yaml:6: policy_model")
        assert "overridden at configs/base/models/policy_model.yaml:6" in plain.notes[0]
        overlay = folder.load("configs/prod.yaml", "+silence=[unread-key]")
        assert overlay.servers["policy_model"].fields["temperature"] == 0.5
        assert overlay.notes == ()

    def test_a_missing_included_file_is_reported_where_it_is_named(self, folder: Folder) -> None:
        folder.write("sub/top.yaml", "config_paths:\n- base/nothing.yaml\n")
        text = folder.refusal("sub/top.yaml")
        assert text.startswith("sub/top.yaml:2: base/nothing.yaml: no such file (looked in ., sub and the bundled")


class TestPaths:
    """Where files are looked for."""

    def test_globs_and_directories(self, folder: Folder) -> None:
        folder.write("models/m.yaml", MODEL)
        folder.write("resources/b.yaml", "who: b\n")
        folder.write("resources/a.yaml", "who: a\n")
        folder.write("resources/env.yaml", "who: env of another folder\n")
        folder.write("resources/compose.yaml", "services: {}\n")
        assert folder.load("+config_paths=[models/*.yaml,resources/*.yaml]").files[1:] == (
            "resources/a.yaml",
            "resources/b.yaml",
            "resources/compose.yaml",
            "resources/env.yaml",
        )
        assert folder.load("models", "resources").files == ("models/m.yaml", "resources/a.yaml", "resources/b.yaml")
        folder.write("resources/stack.yaml", "who: stack\n")
        assert folder.load("models", "resources").files == ("models/m.yaml", "resources/stack.yaml")

    def test_a_directory_of_several_environments_asks_which(self, folder: Folder) -> None:
        for name in ("dev", "prod"):
            folder.write(f"configs/{name}.yaml", "config_paths: [base/a.yaml]\n")
        assert folder.refusal("configs") == (
            "configs: contains several configurations (dev.yaml, prod.yaml); choose one, e.g. configs/dev.yaml"
        )

    def test_a_comma_separated_text_counts_as_a_list(self, folder: Folder) -> None:
        assert folder.load(f"+config_paths='{SCRIPTED},{TOOL}'").files == (f"services/{SCRIPTED}", f"services/{TOOL}")

    def test_config_paths_of_env_yaml_count_when_nothing_else_is_named(self, folder: Folder) -> None:
        folder.write("env.yaml", f"config_paths: [{SCRIPTED}, {TOOL}]\n")
        folder.write("own.yaml", MODEL)
        assert len(folder.load().servers) == 3
        assert len(folder.load("own.yaml").servers) == 1

    def test_extra_roots_come_first_but_not_for_dot_paths(self, folder: Folder, tmp_path: Path) -> None:
        folder.write("work/a.yaml", MODEL + "who: here\n")
        folder.write("extra/a.yaml", MODEL + "who: extra\n")
        folder.write("extra/env.yaml", "from_env: 1\n")
        here = Folder(tmp_path / "work")
        environ = {"NEMO_GYM_EXTRA_ROOTS": str(tmp_path / "extra")}
        assert here.load("a.yaml", environ=environ).values == {"who": "extra", "from_env": 1}
        assert here.load("./a.yaml", environ=environ).values["who"] == "here"

    def test_a_server_s_folder_is_found_under_the_roots(self, folder: Folder) -> None:
        own = "resources_servers/weather"
        folder.write(f"{own}/app.py", "")
        config = folder.loaded("weather:\n  resources_servers:\n    weather: {entrypoint: app.py, domain: agent}\n")
        assert config.servers["weather"].folder == folder.path / own
        assert config.servers["policy_model"].folder == config.bundled / "responses_api_models/scripted_model"

    def test_odd_paths_are_refused_without_a_traceback(self, folder: Folder) -> None:
        for text in ("x" * 5000, "a**b.yaml", "[", "~nobody-of-that-name/x.yaml", "a\0b", "x[.yaml"):
            assert "no such file" in (refused := folder.refusal("./" + text)) or "cannot be read" in refused
        folder.write("a=b.yaml", MODEL)
        assert folder.load("a=b.yaml", "+long=" + "x" * 5000).files == ("a=b.yaml",)

    def test_wrong_paths(self, folder: Folder) -> None:
        assert folder.refusal(
            "+config_paths=[resources_servers/exmple_multi_step/configs/example_multi_step.yaml]"
        ) == (
            "resources_servers/exmple_multi_step/configs/example_multi_step.yaml: no such file "
            f"(looked in . and the bundled services); did you mean '{STEPS}'?"
        )
        assert "no such file" in folder.refusal("models/*.yaml")
        assert "no configuration was given" in folder.refusal()
        (folder.path / "empty").mkdir()
        assert "no YAML file in this directory" in folder.refusal("empty")
        assert "config_paths is not a list of paths" in folder.refusal("+config_paths=[1]")
        folder.write("bad.yaml", "\n\nconfig_paths: {a: 1}\n")
        assert folder.refusal("bad.yaml").startswith("bad.yaml:3: config_paths is not a list")


def test_a_list_over_a_mapping_names_both_places(folder: Folder) -> None:
    folder.write("one.yaml", MODEL + "x:\n  y: {z: 1}\n")
    folder.write("two.yaml", "x:\n  y: [1]\n")
    with pytest.raises(ConfigError) as caught:
        folder.load("one.yaml", "two.yaml")
    assert str(caught.value) == (
        "two.yaml:2: x.y is a list here but a mapping at one.yaml:7; make them the same type, or rename one"
    )


def test_a_path_from_the_top_of_a_checkout_named_from_elsewhere(folder: Folder, tmp_path: Path) -> None:
    folder.write("gym/benchmarks/b/config.yaml", "config_paths: [resources_servers/x/configs/x.yaml]\n")
    folder.write("gym/resources_servers/x/configs/x.yaml", MODEL)
    (tmp_path / "elsewhere").mkdir()
    here = Folder(tmp_path / "elsewhere")
    text = here.refusal(str(tmp_path / "gym/benchmarks/b/config.yaml"))
    assert text.endswith(f"it exists in {tmp_path}/gym: run gymctl there, or set NEMO_GYM_EXTRA_ROOTS={tmp_path}/gym")
    config = here.load("benchmarks/b/config.yaml", environ={"NEMO_GYM_EXTRA_ROOTS": f"{tmp_path}/gym"})
    assert list(config.servers) == ["policy_model"]
