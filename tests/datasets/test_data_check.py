"""Rows are checked against the code of the environment that they go to, without running it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from data_folder import ROW, DataFolder

from gymctl.datasets.server_code import read_server_code

TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True}
STEP: dict[str, Any] = {
    **ROW,
    "id": 1,
    "expected_synonyms": ["a"],
    "expected_synonym_values": [1],
    "minefield_label": "x",
    "minefield_label_value": 2,
}


def check(folder: DataFolder, *options: str) -> tuple[int, str, str]:
    """``data check`` of the declared data."""
    return folder.gymctl("data", "check", "stack.yaml", *options)


def test_good_rows(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", STEP, {**STEP, "id": "2"})
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"}, server="example_multi_step")
    code, out, err = check(data_folder)
    assert (code, out) == (0, "rows.jsonl: 2 of 2 rows are valid, at most 4 words\n")
    assert err == "note: train: 1 rows repeat the task of an earlier one, first rows.jsonl:2 (same as rows.jsonl:1)\n"


@pytest.mark.parametrize(
    ("server", "row", "message"),
    [
        ("example_multi_step", {**ROW, "id": 1}, "the field 'expected_synonyms' is missing"),
        (
            "example_multi_step",
            {**{key: value for key, value in STEP.items() if key != "minefield_label"}, "minefield_labl": "x"},
            "the field 'minefield_label' is missing; did you mean 'minefield_labl'?",
        ),
        ("example_multi_step", {**STEP, "expected_synonyms": "a"}, "'expected_synonyms' is 'a'; it must be list[str]"),
        ("example_multi_step", {**STEP, "id": None}, "the field 'id' is None; it must be int | str"),
        (
            "example_single_tool_call",
            {"responses_create_params": {"input": "x", "tools": [{**TOOL, "name": "get_wether"}]}},
            "the tool 'get_wether' is unknown; did you mean 'get_weather'?",
        ),
        ("example_single_tool_call", {"responses_create_params": {"input": 1}}, "responses_create_params.input"),
    ],
)
def test_wrong_rows(server: str, row: dict[str, Any], message: str, data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", row)
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"}, server=server)
    code, _, err = check(data_folder)
    assert code == 2
    assert f"error: rows.jsonl:1: {message}" in err or f"error: rows.jsonl:1: the field {message}" in err


def test_prepared_rows_by_their_agent(data_folder: DataFolder) -> None:
    data_folder.declare()
    good = {**ROW, "agent_ref": {"name": "agent"}}
    data_folder.rows("rows.jsonl", good, {**ROW, "task_source": "env"}, {**ROW, "agent_ref": {"name": "agnt"}}, ROW)
    code, out, err = check(data_folder, "--input", "rows.jsonl")
    assert code == 2
    assert "rows.jsonl: 2 of 4 rows are valid" in out
    assert "rows.jsonl:3: unknown agent 'agnt'; did you mean 'agent'?" in err
    assert "rows.jsonl:4: the row names no agent" in err


def test_overlap_with_the_training_data(data_folder: DataFolder) -> None:
    data_folder.rows("a.jsonl", ROW)
    data_folder.rows("b.jsonl", {**ROW, "extra": 1})
    data_folder.declare(
        {"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"},
        {"name": "b", "type": "validation", "jsonl_fpath": "b.jsonl"},
    )
    assert "validation: 1 tasks are also in train, first b.jsonl:1 (same as a.jsonl:1)" in check(data_folder)[2]


def test_missing_files_are_noted(data_folder: DataFolder) -> None:
    data_folder.declare({"name": "a", "type": "train", "jsonl_fpath": "a.jsonl"})
    code, _, err = check(data_folder)
    assert (code, "no such file: a.jsonl; not checked" in err) == (0, True)


def test_rows_are_tried_with_the_server(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", STEP, {**STEP, "expected_synonym_values": []})
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"}, server="example_multi_step")
    code, _, err = check(data_folder, "--try", "5")
    assert code == 0
    assert "2 rows were tried with their servers" in err


SERVER = """
from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse

raise SystemExit("this code must not run")


class Wants(VerifyRequest):
    answer: str


class Server(ResourcesServer):
    async def verify(self, body: Wants) -> VerifyResponse:
        return VerifyResponse.of(body, 1.0)
"""


def test_code_is_read_and_not_run(data_folder: DataFolder) -> None:
    data_folder.write("resources_servers/mine/app.py", SERVER)
    data_folder.rows("rows.jsonl", ROW)
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"}, server="mine")
    code, _, err = check(data_folder)
    assert code == 2
    assert "rows.jsonl:1: the field 'answer' is missing; it is a field of verify in mine/app.py" in err


def test_what_a_server_refuses_is_a_problem_of_the_row(data_folder: DataFolder) -> None:
    server = SERVER.replace('raise SystemExit("this code must not run")\n', "").replace(
        "answer: str", "answer: Annotated[str, Field(pattern='^[0-9]+$')]"
    )
    server = f"from typing import Annotated\n\nfrom pydantic import Field\n{server}"
    data_folder.write("resources_servers/mine/app.py", server)
    data_folder.rows("rows.jsonl", {**ROW, "answer": "1"}, {**ROW, "answer": "x"})
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"}, server="mine")
    code, _, err = check(data_folder, "--try", "2")
    assert code == 2
    assert "error: rows.jsonl:2: /verify answers 422" in err


NEMO_GYM_SERVER = """
class RunRequest(BaseRunRequest):
    question: str
    expected_answer: Optional[str] = None
    level: Literal["a", "b"] = Field(default="a")
    tags: List[str] = Field(...)


class VerifyRequest(RunRequest, BaseVerifyRequest):
    pass


class Server(SimpleResourcesServer):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/look_up")(self.look_up)
        return app

    async def verify(self, body: VerifyRequest) -> BaseVerifyResponse:
        ...
"""


def test_a_server_of_nemo_gym(data_folder: DataFolder) -> None:
    folder = data_folder.write("mine/app.py", NEMO_GYM_SERVER).parent
    code = read_server_code(folder)
    assert code is not None
    required = {name: field.is_required for name, field in code.fields.items()}
    assert required == {"question": True, "expected_answer": False, "level": False, "tags": True}
    assert code.tools == frozenset({"look_up"})
    assert code.fields["level"].type.fits("b")
    assert not code.fields["level"].type.fits("c")
    assert code.fields["expected_answer"].type.fits(None)
    assert not code.fields["tags"].type.fits(["x", 1])


@pytest.mark.parametrize(
    "path", ['app.post(f"/{name}")(self.call)', "app.mount('/', other)", 'app.post("/{tool}")(self.x)']
)
def test_tools_that_the_code_does_not_show_are_not_guessed(path: str, data_folder: DataFolder) -> None:
    source = NEMO_GYM_SERVER.replace('app.post("/look_up")(self.look_up)', path)
    code = read_server_code(data_folder.write("mine/app.py", source).parent)
    assert code is not None
    assert code.tools is None


def test_the_report_as_json(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", {})
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "rows.jsonl"})
    code, out, _ = check(data_folder, "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["problems"]["count"]) == (2, False, 1)
    assert report["files"] == [{"name": "rows.jsonl", "rows": 1, "valid": 0, "most_words": 0}]


def test_tools_of_a_server_without_any_are_noted(data_folder: DataFolder) -> None:
    data_folder.rows("rows.jsonl", {**ROW, "question": "q", "expected_answer": "a"})
    data_folder.rows(
        "tools.jsonl",
        {"responses_create_params": {"input": "x", "tools": [TOOL]}, "question": "q", "expected_answer": "a"},
    )
    for name, notes in (("rows", 0), ("tools", 1)):
        data_folder.declare(
            {"name": "rows", "type": "train", "jsonl_fpath": f"{name}.jsonl"}, server="library_judge_math"
        )
        code, _, err = check(data_folder)
        assert (code, err.count("rows offer tools, but their server has none")) == (0, notes)


def test_a_server_that_inherits_its_verifier(data_folder: DataFolder) -> None:
    server, _, verify = NEMO_GYM_SERVER.partition("    async def verify")
    verifier = f"class Verifier:\n    async def verify{verify}\n\n"
    source = server.replace("class Server(SimpleResourcesServer)", f"{verifier}class Server(Verifier, Base)")
    code = read_server_code(data_folder.write("mine/app.py", source).parent)
    assert code is not None
    assert "question" in code.fields
    assert code.tools == frozenset({"look_up"})
