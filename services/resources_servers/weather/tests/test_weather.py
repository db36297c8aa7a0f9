"""Reports that never change, and a reward for having asked and having answered."""

import json
from pathlib import Path

import pytest

from gymctl.server.responses import function_call, message
from gymctl.server.testing import episode, example_rows

FOLDER = Path(__file__).parents[1]
ROW = {"cities": ["Toronto", "Cairo"], "expected_answer": "Cairo"}


def asking(*cities):
    return [function_call("get_weather", json.dumps({"city": city})) for city in cities]


def test_a_report_and_a_city_without_one():
    with episode(FOLDER) as rollout:
        told = rollout.tool("get_weather", city=" LISBON ")
        assert told["temperature_celsius"] == 22
        assert "Lisbon" in rollout.tool("get_weather", city="Atlantis")["error"]
        assert rollout.post("/get_weather", {"town": "Lisbon"}).status == 422


@pytest.mark.parametrize(
    ("output", "reward"),
    [
        ([*asking("Cairo", "toronto"), message("It is Cairo.")], 1.0),
        ([*asking("Cairo"), message("It is Cairo.")], 0.0),
        ([*asking("Cairo", "Toronto"), message("It is Toronto.")], 0.0),
        ([*asking("Cairo", "Toronto"), message("Cairo."), message("No: Toronto.")], 0.0),
        ([message("Cairo")], 0.0),
        ([*asking("Cairo", "Toronto")], 0.0),
        ([function_call("get_weather", "{"), function_call("get_weather", '{"city": 3}'), message("Cairo")], 0.0),
        ([], 0.0),
    ],
)
def test_every_city_must_be_asked_about_and_the_last_message_must_answer(output, reward):
    with episode(FOLDER) as rollout:
        assert rollout.verify(ROW, output)["reward"] == reward


@pytest.mark.parametrize(
    ("text", "right"),
    [("22 degrees", True), ("It is 22.", True), ("122", False), ("22.5", False), ("-22", False), ("2 2", False)],
)
def test_a_number_is_a_whole_one(text, right):
    with episode(FOLDER) as rollout:
        assert rollout.verify({"cities": [], "expected_answer": "22"}, [message(text)])["answered"] is right


def test_the_rows_can_be_answered():
    with episode(FOLDER) as rollout:
        for row in example_rows(FOLDER):
            assert all("error" not in rollout.tool("get_weather", city=city) for city in row["cities"])
            said = [*asking(*row["cities"]), message(f"It is {row['expected_answer']}.")]
            assert rollout.verify(row, said)["reward"] == 1.0
