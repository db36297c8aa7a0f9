"""Write configuration files and load them, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from gymctl.config import Config, MergeOrder, load_config
from gymctl.errors import ConfigError, InputError

MODEL = """
policy_model:
  responses_api_models:
    scripted_model:
      entrypoint: app.py
"""
SHORT_MODEL = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py}
"""

TOOL = "resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml"
STEPS = "resources_servers/example_multi_step/configs/example_multi_step.yaml"
OPENAI = "responses_api_models/openai_model/configs/openai_model.yaml"
SCRIPTED = "responses_api_models/scripted_model/configs/scripted_model.yaml"


class Folder:
    """A working directory with configuration files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> str:
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(dedent(text), encoding="utf-8")
        return name

    def write_block(self, key: str, value: object) -> str:
        """Write ``stack.yaml``: a model server, and a top-level block."""
        return self.write("stack.yaml", SHORT_MODEL + yaml.safe_dump({key: value}))

    def load(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        merge_order: MergeOrder | None = None,
        gym_version: str | None = None,
    ) -> Config:
        return load_config(
            arguments, cwd=self.path, environ=environ or {}, merge_order=merge_order, gym_version=gym_version
        )

    def loaded(self, text: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Config:
        """What the text, after a model server of its own, loads as."""
        self.write("model.yaml", MODEL)
        return self.load("model.yaml", self.write("a.yaml", text), *arguments, environ=environ)

    def problems(self, text: str, *arguments: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.loaded(text, *arguments)
        return [str(problem) for problem in caught.value.problems]

    def refusal(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        with pytest.raises(InputError) as caught:
            self.load(*arguments, environ=environ)
        return str(caught.value)
