"""What blocks of a configuration are made of: a pydantic model for each, a field for each key.

A field has its type, bounds, default and a sentence of description. Validation, ``config schema``, ``config explain``
and the reference page are derived from it.

Modules of blocks do not import ``annotations`` from ``__future__``: pydantic would evaluate each annotation again for
every block that inherits it, which takes a tenth of the time of a short command.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gymctl.config.sizes import is_size_with_unit
from gymctl.config.validation import is_gpu_id, is_host_name, is_image


@dataclass(frozen=True)
class Must:
    """What a value must be, in words, where its type does not say it well enough: ``it must be TEXT``."""

    text: str


OWN_ERROR = "gymctl"  # the type of an error that a validator raises with the words to use


def wrong(message: str, hint: str, *key: str) -> PydanticCustomError:
    """What a validator raises to choose its words. ``message`` follows the key (``is ...``).

    A block's own validator, for keys that do not go together, names the key to blame; then ``message`` follows the
    block's title and a colon.
    """
    return PydanticCustomError(OWN_ERROR, "{message}", {"message": message, "hint": hint, "key": key})


class Block(BaseModel):
    """A mapping of known keys. ``x-...`` keys are the user's own; null is as if the key were absent."""

    # Built when it is first used: few commands need every block, and building one costs milliseconds.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_absent(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: item for key, item in value.items() if not cls._is_absent(key, item)}

    @classmethod
    def _is_absent(cls, key: Any, value: Any) -> bool:
        if str(key).startswith("x-"):
            return True
        field = cls.model_fields.get(key)
        return value is None and field is not None and field.default is not None


class OpenBlock(Block):
    """A mapping whose other keys are someone else's: NeMo Gym's, or those of a server's own code."""

    model_config = ConfigDict(extra="allow")


def _checked(is_right: Callable[[Any], bool]) -> AfterValidator:
    def check(value: Any) -> Any:
        """The value itself if it is valid; ValueError otherwise."""
        if not is_right(value):
            raise ValueError("not right")
        return value

    return AfterValidator(check)


@dataclass(frozen=True)
class Choice:
    """A text out of a list that is not known to the type checker; of the JSON Schema it is an ``enum``."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after the type's own checks."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The type's schema with the names."""
        return {**handler(schema), "enum": list(self.names)}

    def _check(self, value: str) -> str:
        if value not in self.names:
            raise ValueError("not one of them")
        return value


def choice(*names: str) -> Choice:
    """One of these texts."""
    return Choice(tuple(str(name) for name in names))


def _gpu_ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("not a list of GPUs")
    if not all(map(is_gpu_id, value)):
        raise ValueError("not GPUs")
    return tuple(str(item) for item in value)


Port = Annotated[int, Field(ge=1, le=65535)]
PositiveCount = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S"), Must("text")]
Host = Annotated[str, Must("a host name or address")]
HostName = Annotated[str, _checked(is_host_name), Must("a host name")]
Size = Annotated[str, _checked(is_size_with_unit), Must("a size with its unit, such as 512mb or 16gb")]
Cpus = Annotated[float, Field(gt=0), _checked(math.isfinite), Must("a number of processors, such as 1.5")]
ImageName = Annotated[str, _checked(is_image), Must("an image's name, such as vllm/vllm-openai:v0.11.0")]
GpuIds = Annotated[
    tuple[str, ...],
    BeforeValidator(_gpu_ids),
    WithJsonSchema({"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 1}),
]
