"""Notes: what loads, but may not mean what was meant."""

from __future__ import annotations

import pytest
from config_files import MODEL, Folder

WEATHER = """
weather:
  resources_servers:
    weather:
      entrypoint: app.py
      domain: agent
      granularity: day
      window: 3
"""

APP = """
from pydantic import AliasChoices, Field
from gymctl.server import ResourcesServer, ServerConfig

class Base(ServerConfig):
    granularity: str = "hour"

class WeatherConfig(Base):
    window_days: int = Field(default=1, validation_alias=AliasChoices("window_days", "days"))

class Weather(ResourcesServer):
    config: WeatherConfig
"""


@pytest.fixture
def weather(folder: Folder) -> Folder:
    folder.write("resources_servers/weather/app.py", APP)
    return folder


def test_a_key_that_the_server_does_not_read(weather: Folder) -> None:
    (note,) = weather.loaded(WEATHER).advice
    assert str(note) == (
        "a.yaml:8: weather: resources_servers/weather reads no 'window'; did you mean 'window_days'? [unread-key]"
    )
    assert weather.loaded(WEATHER.replace("window:", "days:")).notes == ()


def test_a_key_that_the_code_names_anywhere_is_read(weather: Folder) -> None:
    weather.write("resources_servers/weather/more.py", "def f(config): return config.window\n")
    assert weather.loaded(WEATHER).notes == ()


@pytest.mark.parametrize(
    "app",
    [
        "from nemo_gym.base_resources_server import SimpleResourcesServer\nclass W(SimpleResourcesServer): ...\n",
        "from gymctl.server import ResourcesServer\nfrom other import C\nclass W(ResourcesServer):\n    config: C\n",
        "from gymctl.server import ResourcesServer\nclass W(ResourcesServer:\n",
        "",
    ],
)
def test_nothing_is_said_of_servers_that_cannot_be_read(folder: Folder, app: str) -> None:
    folder.write("resources_servers/weather/app.py", app)
    assert folder.loaded(WEATHER).notes == ()


@pytest.mark.parametrize(
    "silence", ["+silence=[unread-key]", "+silence=unread-key", "+gymctl.silence=[unread-key,same-name]"]
)
def test_a_note_can_be_silenced(weather: Folder, silence: str) -> None:
    assert weather.loaded(WEATHER, silence).notes == ()


def test_a_file_can_silence_too_and_a_wrong_code_is_told(weather: Folder) -> None:
    assert weather.loaded(WEATHER + "gymctl:\n  silence: [unread-key]\n").notes == ()
    assert weather.problems(WEATHER + "gymctl:\n  silence: [unread-kye]\n") == [
        "a.yaml:10: unknown note code 'unread-kye'; did you mean 'unread-key'?"
    ]


def test_an_override_that_lands_beside_the_server(folder: Folder) -> None:
    config = folder.loaded(
        "", "+policy_model.vllm_model.base_url=http://x", "+policy_model.temperature=1", "+policy_model.num_worker=2"
    )
    assert [str(note) for note in config.advice] == [
        "command line (+policy_model.vllm_model.base_url): nothing reads policy_model.vllm_model; "
        "did you mean policy_model.responses_api_models.scripted_model? [unread-key]",
        "command line (+policy_model.temperature): nothing reads policy_model.temperature; "
        "settings of a server belong under policy_model.responses_api_models.scripted_model [unread-key]",
        "command line (+policy_model.num_worker): nothing reads policy_model.num_worker; "
        "did you mean policy_model.responses_api_models.scripted_model.num_workers? [unread-key]",
    ]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("replica: 2", "did you mean policy_model.replicas?"),
        ("placment: {role: worker}", "did you mean policy_model.placement?"),
        ("num_workers: 2", "did you mean policy_model.responses_api_models.scripted_model.num_workers?"),
        ("runtime: nemo-gym", "did you mean policy_model.responses_api_models.scripted_model.runtime?"),
        ("need_ray: true", "did you mean policy_model.needs_ray?"),
    ],
)
def test_a_key_beside_the_kind_that_belongs_below_it(folder: Folder, key: str, hint: str) -> None:
    (note,) = folder.loaded(f"policy_model: {{{key}}}\n").advice
    assert str(note) == f"a.yaml:1: nothing reads policy_model.{key.partition(':')[0]}; {hint} [unread-key]"


@pytest.mark.parametrize("key", ["replicas: 2", "resources: {cpus: 1}", "placement: {role: worker}", "needs_ray: true"])
def test_a_key_that_may_stand_beside_the_kind(folder: Folder, key: str) -> None:
    assert folder.loaded(f"policy_model: {{{key}}}\n").advice == ()


def test_a_vllm_block_is_for_model_servers(weather: Folder) -> None:
    (note,) = weather.loaded(WEATHER.replace("window: 3", "vllm: mine")).advice
    assert "weather: resources_servers/weather reads no 'vllm'" in str(note)


def test_one_name_in_two_files(folder: Folder) -> None:
    folder.write("one.yaml", MODEL)
    folder.write("two.yaml", MODEL + "      host: 0.0.0.0\n")
    (note,) = folder.load("one.yaml", "two.yaml").advice
    assert str(note) == (
        "two.yaml:5: policy_model is defined here and at one.yaml:5; the two are merged into one server; "
        "rename one, or remove its entrypoint if it is an overlay [same-name]"
    )


def test_an_overlay_of_a_server_is_no_second_definition(folder: Folder) -> None:
    text = "policy_model:\n  responses_api_models:\n    scripted_model:\n      host: 0.0.0.0\n"
    config = folder.loaded(text)
    assert config.notes == ()
    assert config.servers["policy_model"].entrypoint == "app.py"


def test_siblings_that_an_override_drops(folder: Folder) -> None:
    folder.write(
        "one.yaml", MODEL + "x:\n  l: [{name: a, n: 1}, {name: b, n: 1}]\n  m: {p: 1, q: 2}\n  s: [1, 2]\n  t: 1\n"
    )
    folder.write("two.yaml", "x:\n  l:\n  - {name: a, n: 2}\n  m: null\n  s: [3]\n  t: 2\n")
    assert folder.load("one.yaml", "two.yaml").notes == (
        "two.yaml:2: x.l replaces the whole value from one.yaml:7; lost: b; repeat the entries to keep "
        "[dropped-siblings]",
        "two.yaml:4: x.m replaces the whole value from one.yaml:8; lost: p, q; repeat the entries to keep "
        "[dropped-siblings]",
    )
    assert folder.load("one.yaml", "+x.m=null", "+x.l=[]").notes == ()


def test_a_silenced_spelling_is_allowed(folder: Folder) -> None:
    assert folder.loaded("result_dir: here\n", "+silence=[misspelt-key]").values["result_dir"] == "here"
    assert len(folder.problems("result_dir: here\n")) == 1
