"""Check the settings of a server against those that its code declares: what it would refuse at its start."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model
from pydantic_core import SchemaError

from gymctl.config.blocks.block_reader import read_block
from gymctl.config.blocks.server_fields import FIELDS_OF
from gymctl.config.diagnostics import Findings
from gymctl.config.model import ServerInstance
from gymctl.config.settings.server_code import Implementation, Setting, implementation_of


class _Settings(BaseModel):
    """Checked as the server's own model is: ``'5'`` is a number there, and null only where the type allows it."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), arbitrary_types_allowed=True)


def check_settings(server: ServerInstance, findings: Findings) -> None:
    """Settings that are missing or wrong; nothing for a server whose code is not built on ``gymctl.server``."""
    if server.folder:
        code = implementation_of(server.folder, server.entrypoint)
    else:
        code = None
    if code is None or server.runtime == "nemo-gym":
        return
    _check_missing(server, code, findings)
    keys = code.fields.intersection(server.fields).difference(FIELDS_OF[server.kind].model_fields)
    required = {name for setting in code.settings if setting.is_required for name in setting.names}
    values = {key: server.fields[key] for key in keys if server.fields[key] is not None or key not in required}
    assert server.folder is not None  # noqa: S101 - its code was found there
    model = _model_of(server.folder, server.entrypoint, keys)
    if model is not None:
        read_block(model, values, server.path, findings, owner=server.name)


def _check_missing(server: ServerInstance, code: Implementation, findings: Findings) -> None:
    required = [setting for setting in code.settings if setting.is_required]
    missing = [item.name for item in required if not any(server.fields.get(name) is not None for name in item.names)]
    if missing:
        where = f"{server.kind.value}/{server.implementation}"
        if len(missing) == 1:
            them = "it"
        else:
            them = "them"
        message = f"{server.name}: {where} needs {', '.join(missing)}"
        findings.problem(server.path, message, f"add {them}; see {where}/configs for an example")


@lru_cache(maxsize=256)
def _model_of(folder: Path, entrypoint: str, keys: frozenset[str]) -> type[BaseModel] | None:
    """A model of the settings with these names; None where the code's own types make none."""
    code = implementation_of(folder, entrypoint)
    try:
        return settings_model(code.settings if code else (), keys)
    except (TypeError, ValueError, PydanticUserError, SchemaError):
        return None  # bounds that do not fit the type: the server itself reports them when it starts


def settings_model(settings: Iterable[Setting], keys: Container[str]) -> type[BaseModel]:
    """A model with a field for each of the names in ``keys`` that a setting has."""
    fields: dict[str, Any] = {}
    for setting in settings:
        if setting.kind is not Any:
            bounds = setting.bounds
        else:
            bounds = {}
        for name in setting.names:
            if name in keys and not name.startswith("_"):
                fields[name] = (setting.kind, Field(None, **bounds, description=setting.description))
    with warnings.catch_warnings():  # a setting may have the name of a method of pydantic, such as `copy`
        warnings.simplefilter("ignore")
        model: type[BaseModel] = create_model("Settings", __base__=_Settings, **fields)
    return model
