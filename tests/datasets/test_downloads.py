"""Missing data sets are fetched with the real clients, once, and never half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from data_folder import ROW, DataFolder
from registry_server import Registry, registry

from gymctl.datasets.downloads import files_of_split

LINE = json.dumps(ROW).encode() + b"\n"
HUB = {"huggingface_identifier": {"repo_id": "org/math", "artifact_fpath": "train.jsonl"}}
GITLAB = {"gitlab_identifier": {"dataset_name": "math", "version": "1.0.0", "artifact_fpath": "train.jsonl"}}


@pytest.fixture
def server(data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry that the Hub's client and the configuration lead to."""
    with registry() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(data_folder.path / "hub"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(data_folder.path / "cache"))
        running.files["train.jsonl"] = LINE * 3
        yield running


def declare(folder: DataFolder, server: Registry, identifier: dict[str, Any], **settings: Any) -> None:
    """A data set that is not here."""
    settings = {"mlflow_tracking_uri": f"{server.url}/ml", "mlflow_tracking_token": "secret-token", **settings}
    folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "data/rows.jsonl", **identifier}, **settings)


@pytest.mark.parametrize(
    "identifier",
    [
        HUB,
        GITLAB,
        {"source": {"type": "huggingface", "repo_id": "org/math", "artifact_fpath": "train.jsonl"}},
        {"source": {"type": "gitlab", **GITLAB["gitlab_identifier"]}},
    ],
)
def test_a_file_is_fetched_once(identifier: dict[str, Any], server: Registry, data_folder: DataFolder) -> None:
    declare(data_folder, server, identifier)
    code, _, err = data_folder.prepare("--download")
    assert code == 0, err
    assert err.startswith("fetched data/rows.jsonl\n")
    path = data_folder.path / "data/rows.jsonl"
    assert path.read_bytes() == LINE * 3
    path.unlink()
    server.requests.clear()
    assert data_folder.prepare("--download")[0] == 0
    assert path.read_bytes() == LINE * 3
    assert not [request for request in server.requests if request.startswith("GET") and "train.jsonl" in request]


def test_all_files_of_a_split(server: Registry, data_folder: DataFolder) -> None:
    server.files |= {"data/train-00000-of-2.jsonl": LINE, "data/train-00001-of-2.jsonl": LINE * 2, "README.md": b"x"}
    del server.files["train.jsonl"]
    declare(data_folder, server, {"huggingface_identifier": {"repo_id": "org/math"}})
    code, _, err = data_folder.prepare("--download")
    assert code == 0, err
    assert (data_folder.path / "data/rows.jsonl").read_bytes() == LINE * 3


@pytest.mark.parametrize(("source", "asked"), [("huggingface", "/datasets/"), ("gitlab", "/packages/")])
def test_the_source_decides_between_two(source: str, asked: str, server: Registry, data_folder: DataFolder) -> None:
    declare(data_folder, server, {**HUB, **GITLAB})
    assert data_folder.prepare("--download", "--source", source)[0] == 0
    assert any(asked in request for request in server.requests)


def test_nothing_is_fetched_unless_asked(server: Registry, data_folder: DataFolder) -> None:
    declare(data_folder, server, HUB)
    code, _, err = data_folder.prepare()
    assert code == 2
    assert "no such file: data/rows.jsonl (rows of agent)\nerror: add the files, or fetch them with --download" in err
    assert server.requests == []


@pytest.mark.parametrize(
    ("identifier", "settings", "token", "message"),
    [
        (HUB, {}, "other", "org/math: the Hugging Face Hub answers with status 401"),
        ({"huggingface_identifier": {"repo_id": "org/math", "artifact_fpath": "x.jsonl"}}, {}, "", "status 404"),
        (GITLAB, {}, "other", "math 1.0.0: GitLab answers with status 401; check gitlab_identifier"),
        (GITLAB, {"mlflow_tracking_token": None}, "", "downloading from GitLab needs mlflow_tracking_token"),
        (GITLAB, {"mlflow_tracking_uri": "http://127.0.0.1:9"}, "", "math 1.0.0: GitLab cannot be reached"),
        ({}, {}, "", "data/rows.jsonl is missing; add the file, or a huggingface_identifier"),
    ],
)
def test_what_cannot_be_fetched(
    identifier: Any, settings: Any, token: str, message: str, server: Registry, data_folder: DataFolder
) -> None:
    server.token = token
    declare(data_folder, server, identifier, **settings)
    code, _, err = data_folder.prepare("--download")
    assert code in (1, 2)
    assert message in err
    assert "secret-token" not in err
    assert not (data_folder.path / "data").exists()


def test_the_token_goes_to_no_other_host(server: Registry, data_folder: DataFolder) -> None:
    declare(data_folder, server, GITLAB)
    with registry() as other:
        server.artifact_host = other.url
        code, _, err = data_folder.prepare("--download")
    assert code == 1
    assert "GitLab points to another host" in err
    assert other.requests == []


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["train.jsonl", "test.jsonl", "README.md"], ["train.jsonl"]),
        (["b/train-1-of-2.parquet", "b/train-0-of-2.parquet"], ["b/train-0-of-2.parquet", "b/train-1-of-2.parquet"]),
        (["train/x.csv", "train/y.txt", "training.jsonl"], ["train/x.csv"]),
        (["math_train.jsonl", "train.jsonl.gz"], ["train.jsonl.gz"]),
    ],
)
def test_files_of_a_split_by_their_names(names: list[str], chosen: list[str]) -> None:
    assert files_of_split(names, "train") == chosen
