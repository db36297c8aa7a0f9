from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plan_strategies import AGENT, MODEL, RESOURCES, config, recipe, server, weather

from gymctl.config import Config, Head, ServerKind
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack


def plan(whole: Config, name: str = "demo", **options: Any) -> StackPlan:
    return plan_stack(whole, name=name, options=StackOptions(version="1.2.3", **options))


def services(planned: StackPlan) -> dict[str, Any]:
    return {service.name: service for service in planned.services}


def problem(whole: Config, name: str = "demo", **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(whole, name, **options)
    return str(caught.value)


def own_server(folder: Path, requirements: str | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "app.py").touch()
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements)
    return folder


def test_every_server_is_a_service_and_the_head_is_first() -> None:
    planned = plan(weather())
    assert [service.name for service in planned.services] == ["head", "policy", "weather", "weather_agent", "judge"]
    assert {service.name: service.port for service in planned.services} == {
        "head": 11000,
        "policy": 8000,
        "weather": 8080,
        "weather_agent": 8081,
        "judge": 8000,
    }
    agent = services(planned)["weather_agent"]
    assert agent.address == "http://weather_agent:8081"
    assert agent.command == ("python", "app.py")
    assert agent.working_dir == "/opt/gymctl/services/responses_api_agents/simple_agent"
    assert (agent.needs, agent.config_path) == ((), "weather_agent")


def test_a_port_of_the_configuration_is_kept() -> None:
    whole = config(server("a", MODEL, {"port": 9001, "host": "10.0.0.5"}), server("b", MODEL, {"port": 9002}))
    assert [service.port for service in plan(whole).services] == [11000, 9001, 9002]


def test_replicas_are_planned_and_are_no_business_of_the_server() -> None:
    whole = config(server("policy", MODEL, {"replicas": 3}), server("tools", RESOURCES))
    policy = services(plan(whole))["policy"]
    assert policy.replicas == 3
    assert "replicas" not in policy.slice_text  # one more must not start those anew that are there


def test_only_the_head_is_published() -> None:
    planned = plan(weather(head=Head(port=12000)))
    assert [service.published for service in planned.services if service.published] == [(("127.0.0.1", 12000, 12000),)]
    assert planned.head_url == "http://127.0.0.1:12000"
    assert plan(weather(), publish_host="0.0.0.0").head_url == "http://127.0.0.1:11000"


def test_bundled_servers_and_the_head_share_one_image() -> None:
    assert [(image.tag, image.folder) for image in plan(weather()).images] == [("gymctl-server:1.2.3", None)]


def test_a_users_server_has_an_image_of_its_own(tmp_path: Path) -> None:
    text = "# ours\nnumpy>=2  # arrays\n\n-e nemo-gym[dev] @ ../../\nmath-verify\n"
    folder = own_server(tmp_path / "resources_servers" / "My_Env", text)
    whole = config(
        server("a", RESOURCES, implementation="My_Env", folder=folder),
        server("b", RESOURCES, implementation="My_Env", folder=folder),
    )
    planned = plan(whole, "my-stack")
    assert [(image.tag, image.folder, image.requirements) for image in planned.images] == [
        ("gymctl-server:1.2.3", None, ()),
        ("my-stack-my_env:1.2.3", folder, ("numpy>=2", "math-verify")),
    ]
    assert services(planned)["a"].working_dir == "/opt/gymctl/services/resources_servers/My_Env"


def test_two_folders_of_one_name_get_two_images(tmp_path: Path) -> None:
    first = own_server(tmp_path / "resources_servers" / "x")
    second = own_server(tmp_path / "responses_api_agents" / "x")
    whole = config(
        server("r", RESOURCES, implementation="x", folder=first), server("a", AGENT, implementation="x", folder=second)
    )
    tags = [image.tag for image in plan(whole).images]
    assert tags == ["gymctl-server:1.2.3", "demo-x:1.2.3", "demo-responses_api_agents-x:1.2.3"]


def test_a_bundled_server_with_packages_of_its_own_gets_them(tmp_path: Path) -> None:
    folder = own_server(tmp_path / "services" / "resources_servers" / "math", "math-verify\n")
    whole = config(server("math", RESOURCES, implementation="math", folder=folder))
    whole = replace(whole, bundled=tmp_path / "services")
    assert [(image.tag, image.folder, image.requirements) for image in plan(whole).images][1:] == [
        ("gymctl-server-math:1.2.3", None, ("math-verify",))
    ]


@pytest.mark.parametrize("name", ["A__b", "x.-y", "_lead", "UPPER.Case", "ümlaut", "a..b", "trail-"])
def test_tags_are_ones_that_docker_takes(tmp_path: Path, name: str) -> None:
    folder = own_server(tmp_path / "resources_servers" / name)
    planned = plan_stack(
        config(server("s", RESOURCES, implementation=name, folder=folder)),
        name="demo",
        options=StackOptions(version="1.0+local.1"),
    )
    for image in planned.images:
        pattern = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
        assert re.fullmatch(pattern, image.tag), image.tag


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/v1", "http://host.docker.internal:8000/v1"),
        ("http://127.0.0.1/v1?q=localhost", "http://host.docker.internal/v1?q=localhost"),
        ("https://user:p@ss@0.0.0.0:8443", "https://user:p@ss@host.docker.internal:8443"),
        ("http://[::1]:8000/v1", "http://host.docker.internal:8000/v1"),
        ("http://LOCALHOST:1", "http://host.docker.internal:1"),
        ("http://localhost.test/v1", "http://localhost.test/v1"),
        ("http://gpu:8000/localhost", "http://gpu:8000/localhost"),
        ("https://api.test/v1@localhost", "https://api.test/v1@localhost"),
    ],
)
@pytest.mark.parametrize("kind", list(ServerKind))
def test_localhost_in_an_address_becomes_the_host(url: str, expected: str, kind: ServerKind) -> None:
    whole = config(server("m", kind, {"base_url": [url], "nested": {"search": [{"api": url}]}, "allowed_urls": url}))
    planned = plan(whole)
    service = services(planned)["m"]
    assert service.slice_text.count(expected) >= 2
    assert f"allowed_urls: {url}" in service.slice_text
    changed = url != expected
    assert service.extra_hosts == (("host.docker.internal:host-gateway",) if changed else ())
    assert len(planned.notes) == changed
    assert all("m: base_url, nested.search.api" in note and url not in note for note in planned.notes)


def test_localhost_in_a_secret_url_is_changed_in_the_secret() -> None:
    url = "http://localhost:8000/v1"
    whole = config(
        server("a", MODEL, {"openai_base_url": url}), server("b", MODEL, {"base_url": url}), secrets={"GYM_URL": url}
    )
    planned = plan(whole)
    assert dict(planned.secrets) == {"GYM_URL": "http://host.docker.internal:8000/v1"}
    assert {name: service.secrets for name, service in services(planned).items()} == {
        "head": (),
        "a": ("GYM_URL",),
        "b": ("GYM_URL",),
    }
    assert len(planned.notes) == 2


def test_a_secret_that_others_need_as_it_is_gets_a_second_name() -> None:
    url = "http://localhost:8000/v1"
    whole = config(
        server("m", MODEL, {"base_url": url}), server("r", RESOURCES, {"allowed_urls": url}), secrets={"GYM_URL": url}
    )
    planned = plan(whole)
    assert dict(planned.secrets) == {"GYM_URL": url, "GYM_URL_IN_CONTAINER": "http://host.docker.internal:8000/v1"}
    assert services(planned)["m"].secrets == ("GYM_URL_IN_CONTAINER",)
    assert services(planned)["r"].secrets == ("GYM_URL",)
    assert "${oc.env:GYM_URL_IN_CONTAINER}" in services(planned)["m"].slice_text


@pytest.mark.parametrize(
    "secret", ["http://localhost:8000/t0ken", "localhost:8000/t0ken", "host:8000/t0ken-x", "t0ken-value"]
)
def test_no_part_of_a_secret_shows_where_its_host_is_changed(secret: str) -> None:
    url = {"h": secret, "l": f"http://{secret}", "t": f"http://localhost/{secret}"}.get(secret[0], secret)
    url = f"http://local{secret}" if secret.startswith("host") else url
    planned = plan(config(server("m", MODEL, {"base_url": f"{url}/v1"}), secrets={"GYM_URL": secret}))
    text = services(planned)["m"].slice_text
    assert "t0ken" not in text
    assert "localhost" not in text
    assert services(planned)["m"].secrets == ("GYM_URL",)


def test_secrets_that_no_server_uses_are_left_out() -> None:
    assert plan(weather(secrets={"GYM_OTHER": "something-else"})).secrets == {}


def test_a_plan_does_not_show_secrets_when_printed() -> None:
    assert "sk-policy-secret" not in repr(plan(weather()))


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (
            config(server("w", implementation="example_multi_stp", has_code=False)),
            [
                "stack.yaml:7: w: no server 'example_multi_stp' under resources_servers/",
                "did you mean 'example_multi_step'?",
            ],
        ),
        (
            config(server("a", MODEL, {"host": "h", "port": 1}), server("b", MODEL, {"host": "h", "port": 1})),
            ["b: h:1 is already the address of a"],
        ),
        (
            config(server("a", MODEL, {"host": "h", "port": 11000}), head=Head("h")),
            ["a: h:11000 is already the address of the head server"],
        ),
    ],
)
def test_what_cannot_be_planned_is_said_with_its_place(whole: Config, expected: list[str]) -> None:
    text = problem(whole)
    assert all(part in text for part in expected), text


def test_a_stack_name_that_compose_refuses_is_refused() -> None:
    assert "'My Stack' is not a valid stack name" in problem(weather(), "My Stack")


def test_a_slice_that_no_variable_can_hold_is_refused_with_its_size() -> None:
    text = problem(config(server("big", RESOURCES, {"prompt": "x" * 130_000})))
    assert re.search(r"big: its configuration is 13\d,\d{3} bytes", text)
    assert "131,072" in text
    assert "files" in text


def test_the_full_mode_of_a_large_recipe_is_refused_with_a_way_out() -> None:
    assert "--slice closure" in problem(recipe(220), slice_mode="full")
