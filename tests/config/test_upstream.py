"""NeMo Gym's names for environments that are bundled here under another."""

from __future__ import annotations

import pytest
from config_files import SCRIPTED, Folder

CONFIGS = {
    "resources_servers/math_with_judge/configs/dapo17k.yaml": ("math_with_judge", "library_judge_math"),
    "resources_servers/math_with_judge/configs/math_with_judge.yaml": ("math_with_judge", "library_judge_math"),
    "resources_servers/code_gen/configs/code_gen.yaml": ("code_gen", "comp_coding"),
}
THEIRS = """
tasks:
  resources_servers:
    code_gen:
      entrypoint: app.py
      domain: coding
      num_processes: 8
      unit_test_timeout_secs: 5
      debug: false
"""


@pytest.mark.parametrize("config", CONFIGS)
def test_their_configuration_is_ours_with_a_note(folder: Folder, config: str) -> None:
    theirs, ours = CONFIGS[config]
    loaded = folder.load(SCRIPTED, config, f"++{theirs}.resources_servers.{theirs}.domain=other")
    server = loaded.servers[theirs]
    assert server.implementation == ours
    assert server.folder is not None
    assert server.folder.name == ours
    assert server.fields["domain"] == "other"
    assert loaded.agent_names == (f"{theirs}_simple_agent",)
    (note,) = loaded.notes
    assert f"{theirs}: gymctl's {ours} replaces NeMo Gym's {theirs}, which is not available" in note
    (plain,) = folder.load(SCRIPTED, config).notes
    assert plain.startswith(f"services/resources_servers/{ours}/configs/")
    assert folder.load(SCRIPTED, config, "+silence=[renamed]").notes == ()


def test_their_name_in_a_users_file(folder: Folder) -> None:
    loaded = folder.loaded(THEIRS)
    assert loaded.servers["tasks"].implementation == "comp_coding"
    assert loaded.resolved["tasks"]["resources_servers"]["comp_coding"]["unit_test_timeout_secs"] == 5
    (note,) = loaded.notes
    assert note.startswith("a.yaml:4: tasks: gymctl's comp_coding")


@pytest.mark.parametrize("way", ["server", "stack", "folder"])
def test_their_name_means_theirs_where_it_can(folder: Folder, way: str) -> None:
    text = THEIRS.replace("domain", "runtime: nemo-gym\n      domain") if way == "server" else THEIRS
    if way == "folder":
        folder.write("resources_servers/code_gen/app.py", "import nemo_gym\n")
    loaded = folder.loaded(text, *(["+runtime=nemo-gym"] if way == "stack" else []))
    assert loaded.servers["tasks"].implementation == "code_gen"
    assert loaded.notes == ()


def test_a_users_own_configuration_of_that_path_is_read(folder: Folder) -> None:
    folder.write("resources_servers/code_gen/configs/code_gen.yaml", THEIRS)
    assert "tasks" in folder.load(SCRIPTED, "resources_servers/code_gen/configs/code_gen.yaml").servers


def test_secrets_of_a_renamed_server_are_found(folder: Folder) -> None:
    text = THEIRS + "      api_key: ${tasks_key}\n"
    folder.write("env.yaml", "tasks_key: sk-planted\n")
    assert "sk-planted" in folder.loaded(text).secrets.values()
