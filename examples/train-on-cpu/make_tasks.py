"""Write tasks.jsonl: three questions about each city that the weather environment reports on.

gymctl up --engine local examples/train-on-cpu
python make_tasks.py http://HOST:PORT_OF_WEATHER > tasks.jsonl
"""

import json
import sys
from urllib.request import Request, urlopen

CITIES = "Bergen Cairo Dakar Hobart Kyoto Lisbon Quito Reykjavik Toronto Wellington".split()
QUESTIONS = {
    "temperature_celsius": "How warm is it in {}?",
    "chance_of_rain_percent": "What is the chance of rain in {}?",
    "sky": "What does the sky look like in {}?",
}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Today's weather report of one city: degrees Celsius, chance of rain, sky.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city."}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def report(server: str, city: str) -> dict[str, object]:
    """What the environment's tool answers about a city."""
    request = Request(
        f"{server}/get_weather", json.dumps({"city": city}).encode(), {"content-type": "application/json"}
    )
    with urlopen(request) as reply:
        return json.load(reply)


for city in CITIES:
    values = report(sys.argv[1], city)
    for field, question in QUESTIONS.items():
        params = {"input": [{"role": "user", "content": question.format(city)}], "tools": [TOOL]}
        row = {"responses_create_params": params, "cities": [city], "expected_answer": str(values[field])}
        print(json.dumps({**row, "agent_ref": {"type": "responses_api_agents", "name": "weather_simple_agent"}}))
