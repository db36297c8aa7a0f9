"""The fields of blocks, and in words what their values must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from gymctl.config.blocks.block import Must
from gymctl.config.diagnostics import KeyPath
from gymctl.config.wording import all_of


def block_of(annotation: Any) -> type[BaseModel] | None:
    """The block that a field holds, itself or as items of a list; None for any other type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, list, tuple):
        return next((block for item in get_args(annotation) if (block := block_of(item))), None)
    return None


def model_at(model: type[BaseModel], place: KeyPath) -> type[BaseModel] | None:
    """The model of the block at ``place`` below another; None where there is none."""
    current: type[BaseModel] | None = model
    for key in place:
        if isinstance(key, int):
            continue
        if current:
            field = current.model_fields.get(key)
        else:
            field = None
        if field:
            current = block_of(field.annotation)
        else:
            current = None
    return current


def field_at(model: type[BaseModel], place: KeyPath) -> FieldInfo | None:
    """The field of a key below a block; None for a key that the block does not know, or an item of a list."""
    if not place or isinstance(place[-1], int):
        return None
    parent = model_at(model, place[:-1])
    if parent:
        return parent.model_fields.get(place[-1])
    return None


def _json_schema(field: FieldInfo) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
    return adapter.json_schema()


def must_be(field: FieldInfo) -> str:
    """What a key's value must be, in words: of its ``Must``, else of its block's keys, or its type and bounds."""
    words = next(_musts(field), None)
    block = block_of(field.annotation)
    if block is not None and words is None:
        keys = mapping_with(block)
        if "list" in str(field.annotation):
            return f"a list, each item {keys}"
        return keys
    return words or phrase(_json_schema(field))


def mapping_with(block: type[BaseModel]) -> str:
    """A mapping, in words, with the keys that a block knows."""
    noun = "key" if len(block.model_fields) == 1 else "keys"
    return f"a mapping with the {noun} {all_of(block.model_fields)}"


def _musts(field: FieldInfo) -> Iterator[str]:
    yield from (item.text for item in field.metadata if isinstance(item, Must))
    yield from _annotated_musts(field.annotation)


def _annotated_musts(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Annotated:
        yield from (item.text for item in annotation.__metadata__ if isinstance(item, Must))
    elif get_origin(annotation) in (Union, UnionType):
        for item in get_args(annotation):
            yield from _annotated_musts(item)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The texts that a key may have, where it has a choice."""
    schema = _json_schema(field)
    options = [schema, *schema.get("anyOf", ())]
    return tuple(item for option in options for item in option.get("enum", ()) if isinstance(item, str))


def phrase(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words: ``a number from 1 to 65535``, ``true or false``, ``gpu or cpu``."""
    if "anyOf" in schema:
        options = [phrase(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(options))
    if "enum" in schema:
        names = [str(item) for item in schema["enum"]]
        if len(names) < 3:
            return " or ".join(names)
        return f"one of {', '.join(names)}"
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") in ("integer", "number"):
        return _number(schema)
    names_of_types = {"boolean": "true or false", "string": "text", "object": "a mapping", "array": "a list"}
    return names_of_types.get(str(schema.get("type")), "a mapping" if "$ref" in schema else "a value")


def _number(schema: Mapping[str, Any]) -> str:
    if schema["type"] == "number" or "minimum" in schema:
        kind = "a number"
    else:
        kind = "a whole number"
    if "minimum" in schema and "maximum" in schema:
        return f"{kind} from {schema['minimum']} to {schema['maximum']}"
    if "minimum" in schema:
        return f"{kind} of at least {schema['minimum']}"
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']}"
    if "maximum" in schema:
        return f"{kind} of at most {schema['maximum']}"
    return kind
