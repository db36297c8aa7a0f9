"""Make rows of any length: ``python make_rows.py --rows 100 --words 50000 --needles 8 > rows.jsonl``.

The same arguments give the same rows; data/example.jsonl is what the defaults give.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from typing import Any

TOPICS = ("rivers", "clocks", "bridges", "spices", "comets", "violins", "lighthouses", "glaciers", "kites", "orchards")
NEEDLES = (
    "Amber Basalt Cedar Damask Ember Fathom Garnet Harbour Indigo Juniper Kestrel Lantern Marble Nutmeg Obsidian "
    "Pewter Quill Russet Saffron Thistle Umber Velvet Willow Yarrow Zephyr Anchor Bramble Copper Drizzle Easel "
    "Flint Gossamer Hollow Ivory Jasper Kindle Lacquer Mosaic Nickel Onyx"
).split()
# The text around the needles: no quotation marks in it, and no word of the questions.
SUBJECTS = ("An old caretaker", "Someone upstairs", "Our neighbour", "A tired clerk", "Half of a choir", "One visitor")
VERBS = ("carried", "painted", "forgot", "repaired", "sold", "described", "hid", "weighed", "borrowed", "drew")
OBJECTS = (
    "a wooden ladder",
    "six umbrellas",
    "an empty suitcase",
    "some wet gloves",
    "a map without names",
    "a tin of buttons",
)
ENDS = (
    "before breakfast",
    "at noon",
    "in silence",
    "during a storm",
    "on a Tuesday",
    "without a reason",
    "for a cousin",
)
QUESTIONS = ("Which numbers belong to {topic}?", "What numbers were filed under {topic}?")
TASK = (
    "Below is a long text. Here and there a line files a needle, a name in quotation marks, under a topic.\n"
    "1. Find every needle of the one topic that is asked about.\n"
    "2. Call get_needle_value for each of them, and for no other.\n"
    "3. Call submit_needle_values once with all the values, in the order of the text."
)


def function(name: str, text: str, parameter: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A strict tool of one parameter."""
    parameters = {"type": "object", "properties": {parameter: schema}, "required": [parameter]}
    return {
        "type": "function",
        "name": name,
        "description": text,
        "strict": True,
        "parameters": {**parameters, "additionalProperties": False},
    }


TOOLS = [
    function(
        "get_needle_value",
        "Return the number that a needle stands for.",
        "needle",
        {"type": "string", "description": "The needle's name, spelt as in the text."},
    ),
    function(
        "submit_needle_values",
        "Hand in the values of all needles of the topic, in the order of the text.",
        "values",
        {"type": "array", "items": {"type": "integer"}, "description": "The values."},
    ),
]


def make_row(chance: random.Random, words: int, needles: int, question: str) -> dict[str, Any]:
    """One row: ``words`` words of text with ``needles`` needles of the topic asked about and as many of others."""
    needle, *others = chance.sample(TOPICS, 4)
    names = chance.sample(NEEDLES, 2 * needles)
    filed = [(name, needle) for name in names[:needles]]
    filed += [(name, chance.choice(others)) for name in names[needles:]]
    chance.shuffle(filed)
    lines: list[str] = []
    while sum(map(_words, lines)) < words:
        lines.append(" ".join(_sentence(chance) for _ in range(4)))
    if len(lines) >= len(filed):
        places = sorted(chance.sample(range(len(lines) + 1), len(filed)), reverse=True)
    else:
        places = []
    for place, (name, topic) in zip(places or [0] * len(filed), reversed(filed), strict=True):
        lines.insert(place, f'Filed under {topic}: "{name}".')
    prompt = [
        {"role": "system", "content": "\n".join([TASK, "", *lines])},
        {"role": "user", "content": question.format(topic=needle)},
    ]
    return {
        "responses_create_params": {"input": prompt, "tools": TOOLS},
        "needles": [name for name, topic in filed if topic == needle],
        "decoys": [name for name, topic in filed if topic != needle],
    }


def _sentence(chance: random.Random) -> str:
    return f"{chance.choice(SUBJECTS)} {chance.choice(VERBS)} {chance.choice(OBJECTS)} {chance.choice(ENDS)}."


def _words(text: str) -> int:
    return len(text.split())


def make_rows(rows: int, words: int, needles: int, seed: int) -> list[dict[str, Any]]:
    """The requested number of rows, cycling through the questions."""
    chance = random.Random(seed)  # noqa: S311 - rows, not keys
    return [make_row(chance, words, needles, QUESTIONS[number % len(QUESTIONS)]) for number in range(rows)]


def main() -> None:
    """Write the rows to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, text in (
        ("rows", 5, "how many"),
        ("words", 1000, "words of text in each"),
        ("needles", 4, f"needles to find in each, at most {len(NEEDLES) // 2}; there are as many others"),
        ("seed", 1, "another one gives other rows"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: {default})")
    arguments = parser.parse_args()
    if not 1 <= arguments.needles <= len(NEEDLES) // 2:
        parser.error(f"--needles must be 1 to {len(NEEDLES) // 2}")
    for row in make_rows(arguments.rows, arguments.words, arguments.needles, arguments.seed):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
