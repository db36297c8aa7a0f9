"""Names of a package that are imported when they are first used."""

from __future__ import annotations

TYPE_CHECKING = False  # the interpreter does not import typing for it: importing gymctl costs next to nothing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


def names_on_demand(package: str, modules: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """A package's ``__getattr__`` (PEP 562): ``modules`` has the names by the module of the package they are in."""
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        """The value of a name, imported now.

        Raises:
            AttributeError: the package has no such name.
        """
        import sys
        from importlib import import_module

        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
