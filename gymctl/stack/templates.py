"""Text that is not data: configuration of a proxy, a batch script."""

from __future__ import annotations

import shlex
from typing import Any

from gymctl import assets


def render_template(name: str, **values: Any) -> str:
    """The template ``name`` with its values; a name that the values lack is an error. ``quoted`` is for shells."""
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(assets.folder("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = shlex.quote
    return environment.get_template(name).render(**values)
