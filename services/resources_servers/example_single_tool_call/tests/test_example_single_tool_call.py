"""One tool, and a reward that nothing can take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gymctl.server.testing import episode, example_rows

FOLDER = Path(__file__).parents[1]


def test_the_tool_tells_the_weather_of_any_city() -> None:
    with episode(FOLDER) as rollout:
        report = rollout.tool("get_weather", city="Łódź 🌧")
    assert report["city"] == "Łódź 🌧"
    assert "Łódź 🌧" in report["weather_description"]


@pytest.mark.parametrize("body", [{}, {"city": 3}, [1], "text"])
def test_wrong_arguments_are_refused_in_fastapis_shape(body: Any) -> None:
    with episode(FOLDER) as rollout:
        reply = rollout.post("/get_weather", body)
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"][0] == "body"


def test_every_row_is_rewarded() -> None:
    with episode(FOLDER) as rollout:
        assert [rollout.verify(row)["reward"] for row in example_rows(FOLDER)] == [1.0] * 5
