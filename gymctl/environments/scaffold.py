"""A new resources server from the templates in ``templates/env``: it renders, runs and passes its test at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gymctl import assets
from gymctl.errors import EngineError, InputError

_FILES = {
    "app.py": "app.py.j2",
    "configs/{name}.yaml": "config.yaml.j2",
    "README.md": "README.md.j2",
    "tests/test_app.py": "test_app.py.j2",
}
_TOOL = {
    "type": "function",
    "name": "guess",
    "description": "Report whether the secret number is higher than the guess, lower, or equal to it.",
    "parameters": {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "additionalProperties": False,
    },
    "strict": True,
}


def create_environment(name: str, directory: Path) -> list[Path]:
    """Write ``resources_servers/<name>/`` below ``directory``; returns the files.

    Raises:
        InputError: the name cannot be a Python module's, or the folder exists.
        EngineError: it cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(
            f"{name!r} is not a valid server name", "use lower-case letters, digits and _, starting with a letter"
        )
    folder = directory / "resources_servers" / name
    if folder.exists():
        raise InputError(f"{folder.relative_to(directory)} already exists", "choose another name, or remove it")
    texts = {place.format(name=name): _filled(template, name) for place, template in _FILES.items()}
    texts["data/example.jsonl"] = "".join(json.dumps(_row(number)) + "\n" for number in (7, 12, 30))
    texts["requirements.txt"] = ""
    written = []
    try:
        for place, text in texts.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise EngineError(f"{folder} cannot be written: {error.strerror}", "run it in a writable directory") from error
    return written


def _filled(template: str, name: str) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.folder("templates") / "env"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python, YAML and Markdown; the name is checked
    )
    words = name.split("_")
    class_name = "".join(word.capitalize() for word in words)
    return environment.get_template(template).render(
        name=name, class_name=class_name, title=" ".join(words).capitalize()
    )


def _row(number: int) -> dict[str, object]:
    """A row that a model can solve; a scripted policy, which tries the numbers it reads, solves it too."""
    text = f"I'm thinking of a number from 1 to 100. Call the tool until it says right. Hint: try {number}."
    return {
        "responses_create_params": {"input": [{"role": "user", "content": text}], "tools": [_TOOL]},
        "secret_number": number,
    }
