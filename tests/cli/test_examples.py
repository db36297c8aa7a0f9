"""Every example renders to what stands beside it, and renders the same twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from render_examples import expected, render

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("path", "stack", "options"), expected(), ids=[f"{path.parent.name}/{path.name}" for path, *_ in expected()]
)
def test_an_example_renders_to_what_stands_beside_it(path: Path, stack: str, options: tuple[str, ...]) -> None:
    text = render(path.parent, options, stack)
    assert text == path.read_text(), "changed? python scripts/render_examples.py, and look at the difference"
    assert yaml.safe_load(text).get("name", path.parent.name) == path.parent.name
