"""The reward curve of training runs: one line of JSON a run, and a picture of all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 640, 320, 40
COLOURS = ("#1f6f8b", "#c8553d", "#5b8c5a", "#8e6c8a", "#b08900")


def write_curve(path: Path, seed: int, rewards: Sequence[float]) -> None:
    """Add a run to a file of curves, in the place of an earlier one with its seed, and draw the file as SVG."""
    runs = {}
    if path.exists():
        runs = {run["seed"]: run["rewards"] for run in map(json.loads, path.read_text().splitlines())}
    runs[seed] = [round(reward, 4) for reward in rewards]
    lines = [json.dumps({"seed": number, "rewards": runs[number]}) for number in sorted(runs)]
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".svg").write_text(picture(runs))


def picture(runs: dict[int, Sequence[float]]) -> str:
    """The curves as SVG: steps to the right, mean reward upwards."""
    last = max(1, *(len(rewards) - 1 for rewards in runs.values()))

    def x(step: float) -> float:
        return round(MARGIN + step * (WIDTH - 2 * MARGIN) / last, 1)

    def y(reward: float) -> float:
        return round(HEIGHT - MARGIN - reward * (HEIGHT - 2 * MARGIN), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tenth in range(0, 11, 2):
        level = y(tenth / 10)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{level}" y2="{level}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{level + 4}" text-anchor="end">{tenth / 10:.1f}</text>')
    parts += [
        f'<text x="{x(step)}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{step}</text>'
        for step in range(0, last + 1, max(1, last // 8))
    ]
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')
    parts.append(f'<text x="{MARGIN}" y="{MARGIN - 14}">mean reward</text>')
    for place, (seed, rewards) in enumerate(sorted(runs.items())):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(f"{x(step)},{y(reward)}" for step, reward in enumerate(rewards))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place_of_name = f'x="{WIDTH - MARGIN - 50}" y="{HEIGHT - MARGIN - 60 + 16 * place}"'
        parts.append(f'<text {place_of_name} fill="{colour}">seed {seed}</text>')
    return "\n".join([*parts, "</svg>", ""])
