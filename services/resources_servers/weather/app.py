"""Weather from invented reports: query every city in the question, then answer from the reports."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
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


_NUMBER = re.compile(r"(?<![\w.])[-\u2212]?\d+(?:\.\d+)?(?![\w])")
_CITY = re.compile(rf"(?<!\w)(?:{'|'.join(REPORTS)})(?!\w)", re.IGNORECASE)
_SKY = re.compile(rf"(?<!\w)(?:{'|'.join(sorted({sky for _, _, sky in REPORTS.values()}))})(?!\w)", re.IGNORECASE)
# Between the city that is the answer and one that it is compared with: "Cairo is warmer than Toronto".
_COMPARISON = re.compile(r"\b(?:than|compared|unlike|whereas|while|versus|not)\b", re.IGNORECASE)


class WeatherVerify(VerifyRequest):
    """The row's fields: the cities to ask about, and a word or number that the answer must hold."""

    cities: list[str]
    expected_answer: str


class Weather(ResourcesServer):
    """One tool, asked once for each city, and a reward that looks at the calls and at the answer."""

    stateless: ClassVar[bool] = True

    @tool
    async def get_weather(self, city: str) -> dict[str, Any]:
        """Return the report for a city, or the list of cities with a report."""
        report = REPORTS.get(_spelt(city))
        if report is None:
            return {"city": city, "error": f"no report for this city; available: {', '.join(map(str.title, REPORTS))}"}
        degrees, rain, sky = report
        return {"city": city, "temperature_celsius": degrees, "chance_of_rain_percent": rain, "sky": sky}

    async def verify(self, body: WeatherVerify) -> VerifyResponse:
        """Reward 1.0 when every city was asked about and the last message answers with what is expected."""
        output = body.response.get("output") or []
        cities = {_spelt(city) for city in body.cities}
        asked_all = cities <= set(_cities_asked(output))
        answer = output_text({"output": [item for item in output if item.get("type") == "message"][-1:]})
        answered = is_answer(answer, body.expected_answer, cities)
        return VerifyResponse.of(body, reward=float(asked_all and answered), asked_all=asked_all, answered=answered)


def is_answer(text: str, expected: str, cities: Collection[str]) -> bool:
    """Whether a text answers with ``expected``, and does not try several answers at once.

    The first number, city or sky in it is the answer. Other numbers are those of the reports of ``cities``, and another
    one of the cities may only be what the first is compared with.
    """
    named = [match[0].lower() for match in _CITY.finditer(text)]
    if not set(named) <= set(cities):
        return False
    if _NUMBER.fullmatch(expected.strip()):
        return _is_number(text, _decimal(expected.strip()), cities)
    if _spelt(expected) in REPORTS:
        return _is_city(text, _spelt(expected))
    if _SKY.fullmatch(expected.strip()):
        return {match[0].lower() for match in _SKY.finditer(text)} == {_spelt(expected)}
    return re.search(rf"(?<!\w){re.escape(expected.strip())}(?!\w)", text, re.IGNORECASE) is not None


def _is_number(text: str, expected: Decimal, cities: Collection[str]) -> bool:
    numbers = [_decimal(match[0]) for match in _NUMBER.finditer(text)]
    allowed = {expected}
    for city in cities:
        allowed.update(map(Decimal, REPORTS.get(city, ())[:2]))
    return numbers[:1] == [expected] and allowed.issuperset(numbers)


def _is_city(text: str, expected: str) -> bool:
    places = list(_CITY.finditer(text))
    if not places or places[0][0].lower() != expected:
        return False
    last = places[0]
    for place in places[1:]:
        if place[0].lower() != expected and not _COMPARISON.search(text, last.end(), place.start()):
            return False
        last = place
    return True


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace("\u2212", "-"))


def _spelt(city: str) -> str:
    return city.strip().casefold()


def _cities_asked(output: list[dict[str, Any]]) -> list[str]:
    """The cities that ``get_weather`` was called for; other values are ignored."""
    calls = [call for call in function_calls(output) if call.get("name") == "get_weather"]
    return [_spelt(city) for call in calls if isinstance(city := call_arguments(call).get("city"), str)]


if __name__ == "__main__":
    Weather.serve()
