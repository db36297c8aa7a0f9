"""Another number of replicas in a rendered file: that one line changes, whatever else stands there."""

from __future__ import annotations

import pytest
import yaml
from plan_strategies import AGENT, MODEL, config, server

from gymctl.stack import StackOptions, plan_stack, render_stack
from gymctl.stack.compose.replica_edit import with_replicas


def rendered() -> str:
    whole = config(
        server("first", MODEL, {"note": "services:\n  second:\n    deploy:\n    scale: 9\n"}),
        server("second", MODEL, {"replicas": 2}),
        server("third", AGENT, {"model_server": {"type": MODEL.value, "name": "first"}}),
    )
    return render_stack(plan_stack(whole, name="demo", options=StackOptions(version="1")))


@pytest.mark.parametrize(("name", "count"), [("first", None), ("second", 2), ("third", None)])
def test_only_the_number_changes(name: str, count: int | None) -> None:
    before, after = yaml.safe_load(rendered()), yaml.safe_load(with_replicas(rendered(), {name: 5}))
    assert after["services"][name]["deploy"].pop("replicas") == 5
    assert before["services"][name]["deploy"].pop("replicas", None) == count
    assert after == before


def test_a_service_without_deploy_gets_a_scale() -> None:
    """Compose replaces the containers of a service that gets a `deploy`; files of earlier versions have none."""
    once = with_replicas("services:\n  a:\n    image: i\n", {"a": 3})
    assert yaml.safe_load(once)["services"]["a"] == {"scale": 3, "image": "i"}
    assert yaml.safe_load(with_replicas(once, {"a": 1}))["services"]["a"] == {"scale": 1, "image": "i"}


def test_it_can_be_done_again_and_for_several() -> None:
    once = with_replicas(rendered(), {"first": 3, "second": 4})
    again = yaml.safe_load(with_replicas(once, {"first": 1, "second": 7}))["services"]
    assert (again["first"]["deploy"]["replicas"], again["second"]["deploy"]["replicas"]) == (1, 7)
    assert len(with_replicas(once, {"first": 1, "second": 7}).splitlines()) == len(once.splitlines())


def test_a_deploy_that_says_other_things_keeps_them() -> None:
    text = "services:\n  a:\n    deploy:\n      resources:\n        limits:\n          cpus: '1'\nvolumes: {}\n"
    after = yaml.safe_load(with_replicas(text, {"a": 2}))
    assert after["services"]["a"]["deploy"] == {"replicas": 2, "resources": {"limits": {"cpus": "1"}}}


@pytest.mark.parametrize("name", ["nobody", "head_server"])
def test_a_service_that_is_not_there(name: str) -> None:
    with pytest.raises(ValueError, match=f"no service '{name}'"):
        with_replicas(rendered(), {name: 2})
