"""The weather in a few made-up reports: ask for every city that a question names, then answer from what was said."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse, tool
from gymctl.server.responses import call_arguments, function_calls, output_text

# Made up, and the same every day, so that answers can be checked: degrees Celsius, chance of rain in percent, sky.
REPORTS = {
    "bergen": (9, 80, "rain"),
    "cairo": (31, 0, "clear"),
    "dakar": (27, 5, "haze"),
    "hobart": (14, 35, "cloud"),
    "kyoto": (18, 20, "cloud"),
    "lisbon": (22, 10, "clear"),
    "quito": (16, 60, "showers"),
    "reykjavik": (3, 70, "sleet"),
    "toronto": (11, 40, "cloud"),
    "wellington": (13, 55, "showers"),
}


class WeatherVerify(VerifyRequest):
    """The row's fields: the cities to ask about, and a word or number that the answer must hold."""

    cities: list[str]
    expected_answer: str


class Weather(ResourcesServer):
    """One tool, asked once for each city, and a reward that looks at the calls and at the answer."""

    stateless: ClassVar[bool] = True

    @tool
    async def get_weather(self, city: str) -> dict[str, Any]:
        """The report for a city; for one without a report, which cities have one."""
        report = REPORTS.get(_spelt(city))
        if report is None:
            return {"city": city, "error": f"there is no report; there are: {', '.join(map(str.title, REPORTS))}"}
        degrees, rain, sky = report
        return {"city": city, "temperature_celsius": degrees, "chance_of_rain_percent": rain, "sky": sky}

    async def verify(self, body: WeatherVerify) -> VerifyResponse:
        """Reward 1.0 when every city was asked about and the answer, as a whole word, is in the last message."""
        output = body.response.get("output") or []
        asked_all = {_spelt(city) for city in body.cities} <= set(_cities_asked(output))
        answer = output_text({"output": [item for item in output if item.get("type") == "message"][-1:]})
        wanted = re.compile(rf"(?<![\w.-]){re.escape(body.expected_answer)}(?![\w]|\.\d)", re.IGNORECASE)
        answered = wanted.search(answer) is not None
        return VerifyResponse.of(body, reward=float(asked_all and answered), asked_all=asked_all, answered=answered)


def _spelt(city: str) -> str:
    return city.strip().casefold()


def _cities_asked(output: list[dict[str, Any]]) -> list[str]:
    """The cities that ``get_weather`` was called for; what is no text is passed over."""
    calls = [call for call in function_calls(output) if call.get("name") == "get_weather"]
    return [_spelt(city) for call in calls if isinstance(city := call_arguments(call).get("city"), str)]


if __name__ == "__main__":
    Weather.serve()
