"""What a key of a configuration means: its type in words, default and description, found by its path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gymctl.config.blocks.block_fields import field_at, must_be
from gymctl.config.blocks.server_fields import FIELDS_OF, OuterFields
from gymctl.config.blocks.stack_keys import StackKeys
from gymctl.config.diagnostics import KeyPath
from gymctl.config.settings.server_code import Setting, implementation_of
from gymctl.config.settings.server_settings import settings_model
from gymctl.config.vllm.served_model import VLLM_KEY, VllmKeys
from gymctl.config.vocabulary import ServerKind


@dataclass(frozen=True)
class KeyDoc:
    """One key: what its value must be (empty: anything), its default (None: it has none), and a sentence."""

    key: str
    value: str
    default: str | None
    description: str


def stack_docs() -> Iterator[KeyDoc]:
    """The top-level keys."""
    yield from block_docs(StackKeys)


def block_docs(model: type[BaseModel], skip: type[BaseModel] | None = None) -> Iterator[KeyDoc]:
    """The keys of a block, without those of another model."""
    for name, field in model.model_fields.items():
        if skip is None or name not in skip.model_fields:
            yield _field_doc(field.alias or name, field)


def setting_docs(settings: tuple[Setting, ...], skip: type[BaseModel]) -> Iterator[KeyDoc]:
    """The settings that a server's code declares, without the fields that every server has."""
    model = settings_model(settings, {setting.name for setting in settings})
    for setting in settings:
        if setting.name in model.model_fields and setting.name not in skip.model_fields:
            yield _setting_doc(setting, model)


def _setting_doc(setting: Setting, model: type[BaseModel]) -> KeyDoc:
    other = [name for name in setting.aliases if name != setting.name]
    if other:
        also = f" Also `{'`, `'.join(other)}`."
    else:
        also = ""
    return KeyDoc(
        key=setting.name,
        value="" if setting.kind is Any else must_be(model.model_fields[setting.name]),
        default=None if setting.is_required else setting.default,
        description=f"{setting.description}{also}",
    )


def _field_doc(key: str, field: FieldInfo) -> KeyDoc:
    default = field.default
    if field.annotation is Any:
        value = ""
    else:
        value = must_be(field)
    has_default = default is not PydanticUndefined and default is not None and not isinstance(default, BaseModel)
    return KeyDoc(
        key=key,
        value=value,
        default=json.dumps(default, default=str) if has_default and default not in ((), {}, []) else None,
        description=field.description or "",
    )


def doc_at(path: KeyPath, folder: Path | None = None, entrypoint: str = "app.py") -> KeyDoc | None:
    """The key at a path of the configuration; None if it is not declared.

    ``folder`` and ``entrypoint`` are where the code of the server at the path is.
    """
    names = tuple(part for part in path if isinstance(part, str))
    if len(names) > 3 and names[1] in list(ServerKind):
        return _server_doc(ServerKind(names[1]), names[3:], folder, entrypoint)
    if len(names) == 2 and names[1] in OuterFields.model_fields and names[0] not in StackKeys.model_fields:
        return _doc(OuterFields, names[1:])
    if names[0] == VLLM_KEY and len(names) > 1:
        return _doc(VllmKeys, names[1:]) or _doc(VllmKeys, names[2:])
    return _doc(StackKeys, names)


def _server_doc(kind: ServerKind, names: tuple[str, ...], folder: Path | None, entrypoint: str) -> KeyDoc | None:
    if names[0] in FIELDS_OF[kind].model_fields or folder is None or len(names) > 1:
        return _doc(FIELDS_OF[kind], names)
    code = implementation_of(folder, entrypoint)
    for setting in code.settings if code else ():
        if names[0] in setting.names:
            return _setting_doc(setting, settings_model([setting], {setting.name}))
    return None


def _doc(model: type[BaseModel], names: tuple[str, ...]) -> KeyDoc | None:
    if names:
        field = field_at(model, names)
    else:
        field = None
    if field:
        return _field_doc(names[-1], field)
    return None
