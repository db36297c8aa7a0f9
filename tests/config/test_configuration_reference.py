"""docs/reference/configuration.md is what scripts/configuration_reference.py makes of the fields."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from gymctl.config.blocks.server_fields import ModelServerFields
from gymctl.config.blocks.stack_keys import StackKeys
from gymctl.config.vocabulary import RESERVED_KEYS

TOP = Path(__file__).resolve().parents[2]


def page() -> str:
    path = TOP / "scripts" / "configuration_reference.py"
    spec = importlib.util.spec_from_file_location("configuration_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.page()
    return text


def test_the_page_is_what_the_script_writes() -> None:
    written = (TOP / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), "run: python scripts/configuration_reference.py"


def test_every_key_is_on_the_page_and_has_a_description() -> None:
    text = page()
    for model in (StackKeys, ModelServerFields):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert f"- `{field.alias or name}`: " in text
    keys = {field.alias or name for name, field in StackKeys.model_fields.items()}
    assert keys == RESERVED_KEYS


def test_lines_are_short() -> None:
    assert max(map(len, page().splitlines())) <= 120
