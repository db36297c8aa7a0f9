"""The Compose specification's JSON schema, vendored unmodified (``compose/schema/README.md``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from gymctl import assets

if TYPE_CHECKING:
    import jsonschema_rs

SCHEMA_FILE = "compose-spec-2.4.8.json"


@cache
def _validator() -> jsonschema_rs.Draft7Validator:
    import jsonschema_rs

    schema = json.loads((assets.folder("compose") / "schema" / SCHEMA_FILE).read_text(encoding="utf-8"))
    schema.pop("$schema")  # its https form names no draft that a validator knows; the content is draft 7
    return jsonschema_rs.Draft7Validator(schema)


def schema_errors(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where (``services.a.ports``) and how plain data breaks the schema. Values, which may be long, are cut."""
    validator = _validator()
    if validator.is_valid(document):
        return
    for error in validator.iter_errors(document):
        yield ".".join(str(part) for part in error.instance_path), _cut(error.message)


def _cut(message: str) -> str:
    if len(message) <= 300:
        return message
    return f"{message[:140]} ... {message[-140:]}"
