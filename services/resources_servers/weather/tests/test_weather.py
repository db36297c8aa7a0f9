"""Reports that never change, and a reward for having asked and having answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gymctl.server.responses import function_call, message
from gymctl.server.testing import episode, example_rows

FOLDER = Path(__file__).parents[1]
ROW = {"cities": ["Toronto", "Cairo"], "expected_answer": "Cairo"}


def asking(*cities: str) -> list[dict[str, Any]]:
    return [function_call("get_weather", json.dumps({"city": city})) for city in cities]


def test_a_report_and_a_city_without_one() -> None:
    with episode(FOLDER) as rollout:
        report = rollout.tool("get_weather", city=" LISBON ")
        assert report["temperature_celsius"] == 22
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
def test_every_city_must_be_asked_about_and_the_last_message_must_answer(
    output: list[dict[str, Any]], reward: float
) -> None:
    with episode(FOLDER) as rollout:
        assert rollout.verify(ROW, output)["reward"] == reward


@pytest.mark.parametrize(
    ("text", "right"),
    [("22 degrees", True), ("It is 22.", True), ("122", False), ("22.5", False), ("-22", False), ("2 2", False)],
)
def test_a_number_is_a_whole_one(text: str, right: bool) -> None:
    with episode(FOLDER) as rollout:
        assert rollout.verify({"cities": [], "expected_answer": "22"}, [message(text)])["answered"] is right


EVERY_CITY = "bergen cairo dakar hobart kyoto lisbon quito reykjavik toronto wellington"
EVERYTHING = f"Yes no true false {EVERY_CITY} rain clear haze cloud showers sleet {' '.join(map(str, range(-50, 500)))}"


@pytest.mark.parametrize(
    ("cities", "expected", "text", "right"),
    [
        (["Lisbon"], "22", "It is 22 degrees in Lisbon, with a 10% chance of rain.", True),
        (["Lisbon"], "22", "22 or 23 degrees", False),
        (["Lisbon"], "22", "22 or 10", True),  # no better than 22 alone, as 10 or 22 is no better than 10
        (["Lisbon"], "22", "10 or 22", False),
        (["Lisbon"], "22", "It is 22 degrees in Lisbon or Cairo.", False),
        (["Lisbon"], "22", "20, 21, 22, 23, 24", False),
        (["Lisbon"], "22", "\u221222", False),
        (["Dakar", "Reykjavik"], "24", "Dakar is 24 degrees warmer than Reykjavik (27 and 3).", True),
        (["Dakar", "Reykjavik"], "24", " ".join(map(str, range(60))), False),
        (["Toronto", "Cairo"], "Cairo", "Cairo is warmer than Toronto.", True),
        (["Toronto", "Cairo"], "Cairo", "Cairo, with 31 degrees, compared to the 11 of Toronto", True),
        (["Toronto", "Cairo"], "Cairo", "Cairo or Toronto", False),
        (["Toronto", "Cairo"], "Cairo", "Cairo, Toronto", False),
        (["Toronto", "Cairo"], "Cairo", "Toronto and Cairo", False),
        (["Toronto", "Cairo"], "Cairo", "Toronto is warmer than Cairo.", False),
        (["Toronto", "Cairo"], "Cairo", "Cairo than Dakar", False),
        (["Toronto", "Cairo"], "Cairo", "CairoToronto", False),
        (["Lisbon"], "clear", "The sky is clear.", True),
        (["Lisbon"], "clear", "clear or cloud", False),
        (["Lisbon"], "yes", "Yes, it is.", True),
        *((["Lisbon"], expected, EVERYTHING, False) for expected in ("22", "-50", "yes", "clear", "Lisbon")),
        (["Bergen", "Cairo"], "Bergen", EVERYTHING, False),
    ],
)
def test_an_answer_is_one_answer(cities: list[str], expected: str, text: str, right: bool) -> None:
    with episode(FOLDER) as rollout:
        assert rollout.verify({"cities": cities, "expected_answer": expected}, [message(text)])["answered"] is right


def test_the_rows_can_be_answered() -> None:
    with episode(FOLDER) as rollout:
        for row in example_rows(FOLDER):
            assert all("error" not in rollout.tool("get_weather", city=city) for city in row["cities"])
            output = [*asking(*row["cities"]), message(f"It is {row['expected_answer']}.")]
            assert rollout.verify(row, output)["reward"] == 1.0
