"""Resolve a CONFIG argument to files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gymctl import assets
from gymctl.config.bundled_names import bundled_name
from gymctl.config.diagnostics import display_path
from gymctl.config.sources.nemo_rl import TRAINER_GYM_FOLDER
from gymctl.config.vocabulary import ServerKind
from gymctl.config.wording import nearest
from gymctl.errors import InputError

_KINDS = frozenset(kind.value for kind in ServerKind)
_NOT_LAYERS = ("env.yaml", "env.yml")
_INCLUDES = re.compile(r"^config_paths\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Finder:
    """Finds files, globs and directories under the search roots."""

    roots: tuple[Path, ...]
    cwd: Path

    def find(self, text: str, beside: Path | None = None) -> list[Path]:
        """Resolve ``text`` to files: itself, a glob's matches, or the stack in a directory.

        ``beside`` is the folder of an including file, which is searched last.

        Raises:
            InputError: there is none.
        """
        try:
            for root in (*self._roots_for(text), *((beside,) if beside else ())):
                if path := self._under(root, text):
                    return path
            example = assets.example(text)
            if example:
                return self._under(example.parent, example.name)
            if text.startswith(TRAINER_GYM_FOLDER):
                return self.find(text.removeprefix(TRAINER_GYM_FOLDER), beside)
            if ours := bundled_name(text):
                return self._under(self.roots[-1], ours)
        except OSError as error:
            raise InputError(f"{text[:200]}: cannot be read: {error.strerror}") from error
        except (ValueError, RuntimeError) as error:  # an invalid glob; a home directory that does not exist
            raise InputError(f"{text}: no such file: {error}") from error
        raise InputError(f"{text}: no such file ({self._looked_in(beside)})", self._suggestion(text, beside))

    def _under(self, root: Path, text: str) -> list[Path]:
        path = Path(text).expanduser()
        place = Path(os.path.normpath(root / path))
        if place.is_dir():
            return _stack_in(place, self.cwd)
        if place.is_file():
            return [place]
        if any(letter in text for letter in "*?["):
            return sorted(_glob(path, root))
        return []

    def _roots_for(self, text: str) -> tuple[Path, ...]:
        """``./x`` and ``../x`` mean the current directory, whatever the roots are."""
        if text.startswith(("./", "../")):
            return (self.cwd,)
        return self.roots

    def _looked_in(self, beside: Path | None) -> str:
        extra = [display_path(root, self.cwd) for root in self.roots if root not in (self.cwd, self.roots[-1])]
        if beside and beside != self.cwd:
            near = [display_path(beside, self.cwd)]
        else:
            near = []
        return f"looked in {', '.join([*extra, '.', *near])} and the bundled services"

    def _suggestion(self, text: str, beside: Path | None) -> str:
        if beside:
            above = next((folder for folder in beside.parents if (folder / text).exists()), None)
        else:
            above = None
        if above:
            return f"it exists in {above}: run gymctl there, or set NEMO_GYM_EXTRA_ROOTS={above}"
        bundled = [str(path.relative_to(self.roots[-1])) for path in self.roots[-1].glob("*/*/configs/*.yaml")]
        local = [path.name for path in self.cwd.glob("*.yaml") if path.name not in _NOT_LAYERS]
        by_name = {Path(path).name: path for path in bundled}
        named = nearest(Path(text).name, [*local, *by_name], cutoff=0.8)
        if named:
            return f"did you mean {by_name.get(named, named)!r}?"
        return self._beside_its_server(Path(text)) or "check the path (relative paths start at the current directory)"

    def _beside_its_server(self, relative: Path) -> str:
        """For KIND/IMPLEMENTATION/...: what that server has instead, or which servers of the kind there are."""
        if len(relative.parts) < 3 or relative.parts[0] not in _KINDS:
            return ""
        kind, implementation = relative.parts[:2]
        for root in self.roots:
            if configs := sorted((root / kind / implementation / "configs").glob("*.yaml")):
                return f"did you mean '{kind}/{implementation}/configs/{configs[0].name}'?"
        known = sorted({path.parent.name for root in self.roots for path in root.glob(f"{kind}/*/configs")})
        if len(self.roots) > 2:
            elsewhere = ""
        else:
            elsewhere = " (NeMo Gym's own are found with NEMO_GYM_EXTRA_ROOTS=CHECKOUT)"
        return (
            f"no server {implementation!r} found here or among the bundled ones; available: "
            f"{', '.join(known)}{elsewhere}"
        )


def _glob(relative: Path, root: Path) -> Iterator[Path]:
    if relative.is_absolute():
        start = Path(relative.anchor)
    else:
        start = root
    if relative.is_absolute():
        pattern = relative.relative_to(start)
    else:
        pattern = relative
    return (path for path in start.glob(str(pattern)) if path.is_file())


def _stack_in(folder: Path, cwd: Path) -> list[Path]:
    """``stack.yaml`` of a directory, else every YAML file in it that is configuration."""
    stack = folder / "stack.yaml"
    if stack.is_file():
        return [stack]
    files = sorted(
        path
        for path in folder.glob("*.yaml")
        if path.name not in _NOT_LAYERS and not path.name.startswith(("compose", "docker-compose"))
    )
    if not files:
        raise InputError(f"{display_path(folder, cwd)}: no YAML file in this directory", "add a stack.yaml")
    tops = [path for path in files if _INCLUDES.search(path.read_text(encoding="utf-8", errors="replace"))]
    if len(tops) > 1:
        names = ", ".join(path.name for path in tops)
        raise InputError(
            f"{display_path(folder, cwd)}: contains several configurations ({names})",
            f"choose one, e.g. {display_path(tops[0], cwd)}",
        )
    return files
