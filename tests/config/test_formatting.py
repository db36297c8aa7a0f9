"""``gymctl config``: show, check, explain, schema, graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import typer
import yaml
from config_files import MODEL, OPENAI, STEPS, TOOL, Folder
from typer.testing import CliRunner, Result

from gymctl.assets import folder as bundled
from gymctl.cli import config as config_command
from gymctl.config.blocks.schema import schema
from gymctl.config.explain import explain
from gymctl.errors import InputError

PATHS = f"+config_paths=[{OPENAI},{STEPS}]"


@pytest.fixture
def run(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder.write(
        "env.yaml", "policy_api_key: sk-planted-1234\npolicy_base_url: http://m/v1\npolicy_model_name: some-model\n"
    )
    monkeypatch.chdir(folder.path)
    app = typer.Typer()
    app.callback()(lambda: None)
    config_command.register(app)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["config", *arguments])

    return invoke


def test_show_masks_credentials_and_reads_back(run: Any) -> None:
    output = run("show", PATHS, "+extra.password=hunter22", "+port_range_low=12000")
    assert "sk-planted" not in output.output
    assert "hunter22" not in output.output
    read = yaml.safe_load(output.stdout)
    assert read["policy_model"]["responses_api_models"]["openai_model"]["openai_api_key"] == "****"
    assert read["port_range_low"] == 12000
    assert json.loads(run("show", PATHS, "--format", "json").stdout)["policy_api_key"] == "****"
    assert run("show", PATHS, "--format", "toml").exit_code == 2


def test_check(run: Any, folder: Folder) -> None:
    assert run("check", PATHS).stdout == "ok: 3 servers from 2 files\n"
    folder.write("bad.yaml", "x: ???\ny: ${z}\n")
    result = run("check", "bad.yaml", "--json")
    assert result.exit_code == 2
    assert [problem["where"] for problem in json.loads(result.stdout)["problems"]] == ["bad.yaml:1", "bad.yaml:2"]
    assert isinstance(run("check", "bad.yaml").exception, InputError)
    folder.write("note.yaml", MODEL + "      temperatur: 1\n")
    noted = run("check", "note.yaml")
    assert noted.stderr.startswith("note: note.yaml:6: policy_model: responses_api_models/scripted_model reads no")
    (note,) = json.loads(run("check", "note.yaml", "--json").stdout)["notes"]
    assert (note["code"], note["where"]) == ("unread-key", "note.yaml:6")
    missing = json.loads(run("check", "nowhere.yaml", "--json").stdout)
    assert missing["problems"][0]["message"].startswith("nowhere.yaml: no such file")


def test_explain_names_the_winner_and_the_overridden(run: Any) -> None:
    text = run(
        "explain", "policy_model.openai_base_url", PATHS, "+policy_model.openai_model.openai_base_url=http://n/v1"
    )
    assert text.stdout == (
        'policy_model.responses_api_models.openai_model.openai_base_url = "http://n/v1"\n'
        "  set by command line (+policy_model.openai_model.openai_base_url)\n"
        f'  overrides services/{OPENAI}:6: "${{policy_base_url}}"\n'
        "  Base URL of the API; the server appends the path of each call.\n"
        "  must be a URL that starts with http:// or https://, such as http://HOST:8000/v1\n"
    )


def test_explain_follows_references_and_hides_credentials(run: Any) -> None:
    text = run("explain", "policy_model.responses_api_models.openai_model.openai_api_key", PATHS).stdout
    assert text == (
        'policy_model.responses_api_models.openai_model.openai_api_key = "****"\n'
        f'  set by services/{OPENAI}:7 as "${{policy_api_key}}"\n'
        "  API key of the endpoint.\n"
        "  must be text without spaces\n"
        '    policy_api_key = "****"\n'
        "      set by env.yaml:1\n"
    )
    data = json.loads(run("explain", "policy_model.openai_api_key", PATHS, "--json").stdout)
    assert data["refers_to"][0]["set_by"] == "env.yaml:1"
    assert "sk-planted" not in json.dumps(data)


def test_explain_a_whole_server_lists_its_leaves(run: Any) -> None:
    data = json.loads(run("explain", "example_multi_step_simple_agent.datasets", PATHS, "--json").stdout)
    assert [leaf["path"].rsplit(".", 1)[1] for leaf in data["inside"]] == ["name", "type", "jsonl_fpath"]
    assert data["inside"][2]["set_by"] == f"services/{STEPS}:21"


def test_explain_a_path_that_is_not_there(folder: Folder) -> None:
    config = folder.loaded("a: {b: [x, y]}\n")
    assert explain(config, "a.b[1]").value == explain(config, "a.b.1").value == "y"
    for text, hint in (
        ("policy_model.entrypont", "did you mean 'entrypoint'?"),
        ("policy_modle", "did you mean 'policy_model'?"),
        ("a.b.7", "gymctl config show lists all values"),
        ("..", "write a dotted path"),
    ):
        with pytest.raises(InputError, match=r"no value|empty") as caught:
            explain(config, text)
        assert hint in str(caught.value)


def test_explain_a_file_over_a_file(folder: Folder) -> None:
    folder.write("one.yaml", MODEL + "x: {y: 1}\n")
    folder.write("two.yaml", "x:\n  y: 2\n")
    settings = explain(folder.load("one.yaml", "two.yaml"), "x.y").settings
    assert [(setting.place, setting.written) for setting in settings] == [
        ("one.yaml:6", 1),
        ("two.yaml:2", 2),
    ]


def test_graph(run: Any) -> None:
    assert run("graph", PATHS).stdout.endswith(
        "example_multi_step_simple_agent (responses_api_agents/simple_agent)\n"
        "  resources_server -> example_multi_step_resources_server\n"
        "  model_server -> policy_model\n"
    )
    mermaid = run("graph", PATHS, "--format", "mermaid").stdout
    assert mermaid.startswith("flowchart LR\n")
    assert '  s2 -->|"model_server"| s0\n' in mermaid
    data = json.loads(run("graph", PATHS, "--format", "json").stdout)
    assert {"from": "example_multi_step_simple_agent", "field": "model_server", "to": "policy_model"} in data[
        "references"
    ]


def test_the_merge_order_is_an_option(run: Any, folder: Folder) -> None:
    folder.write("top.yaml", MODEL + "who: top\nconfig_paths: [low.yaml]\n")
    folder.write("low.yaml", "who: low\n")
    assert "who: top" in run("show", "top.yaml").stdout
    assert "who: low" in run("show", "top.yaml", "--merge-order", "includes-last").stdout
    assert run("show", "top.yaml", "--merge-order", "x").exit_code == 2


def test_the_schema_takes_what_is_bundled_and_refuses_what_is_wrong(run: Any) -> None:
    assert json.loads(run("schema").stdout) == schema()
    validator = jsonschema_rs.validator_for(schema())
    paths = sorted(bundled("services").glob("*/*/configs/*.yaml"))
    assert len(paths) >= 6
    for path in paths:
        assert validator.is_valid(yaml.safe_load(path.read_text(encoding="utf-8"))), path
    key: str
    wrong: Any
    server: dict[str, Any] = {
        "tool": {"resources_servers": {"x": {"entrypoint": "app.py", "domain": "math", "port": "${p}"}}}
    }
    assert validator.is_valid(server)
    for key, wrong in (("domain", "maths"), ("port", 99999), ("datasets", [{"type": "tran"}]), ("entrypoint", 3)):
        changed = {"tool": {"resources_servers": {"x": {**server["tool"]["resources_servers"]["x"], key: wrong}}}}
        assert not validator.is_valid(changed), key
    for key, wrong in (("placement", {"role": "boss"}), ("resources", {"cpus": -1}), ("resources", {"gpus": "some"})):
        changed = {"tool": {"resources_servers": {"x": {**server["tool"]["resources_servers"]["x"], key: wrong}}}}
        assert not validator.is_valid(changed), key
    assert validator.is_valid({"placement": {"role": "worker", "head": {"role": "manager", "labels": {"a": 1}}}})
    assert not validator.is_valid({"placement": {"models": {"max_replicas_per_node": 0}}})
    for key, value, is_right in (("max_retries", 3, True), ("max_retries", -1, False), ("max_retries", "${n}", True)):
        model = {"m": {"responses_api_models": {"openai_model": {"entrypoint": "app.py", key: value}}}}
        assert validator.is_valid(model) is is_right, value
    assert "openai_base_url" in json.dumps(schema()["$defs"]["responses_api_models"])


def test_looking_writes_nothing(run: Any) -> None:
    before = sorted(Path().iterdir())
    run("show", PATHS)
    run("graph", f"+config_paths=[{OPENAI},{TOOL}]")
    assert sorted(Path().iterdir()) == before
