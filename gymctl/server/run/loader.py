"""Load the server class of a server folder into this process (each folder is otherwise run as ``python app.py``)."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from gymctl.errors import InputError
from gymctl.server.base import Server


def load_server_class(folder: Path, entrypoint: str) -> type[Server]:
    """The one ``Server`` subclass that ``folder/entrypoint`` defines.

    Raises:
        InputError: the file cannot be imported, or defines no such class or several.
    """
    path = folder / entrypoint
    name = f"gymctl_loaded.{folder.parent.name}.{folder.name}.{path.stem}"
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) != str(path):
        module = _import(path, name)
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Server) and value.__module__ == name
    ]
    if len(classes) != 1:
        names = ", ".join(cls.__name__ for cls in classes) or "none"
        raise InputError(f"{path} must define one server class of gymctl.server; found: {names}")
    return classes[0]


def _import(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise InputError(f"{path} cannot be imported: {_one_line(error)}", _hint(error)) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _one_line(error: BaseException) -> str:
    """What a user's code raised, in one line."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno})"
    line = " ".join(str(error).split())
    if isinstance(error, ImportError):
        return line
    return f"{type(error).__name__}: {line}"


def _hint(error: BaseException) -> str:
    if isinstance(error, ImportError):
        return "install its dependencies, or run it in a container: gymctl up without --engine local"
    return ""
