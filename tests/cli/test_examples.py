"""Every example renders to what stands beside it, and renders the same twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from render_examples import EXPECTED, examples, render


@pytest.mark.parametrize("example", examples(), ids=lambda path: path.name)
def test_an_example_renders_to_what_stands_beside_it(example: Path):
    text = render(example)
    assert text == (example / EXPECTED).read_text(), (
        "changed? python scripts/render_examples.py, and look at the difference"
    )
    assert yaml.safe_load(text)["name"] == example.name
