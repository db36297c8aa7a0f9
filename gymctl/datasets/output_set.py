"""Several files that appear together or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from gymctl.errors import InputError, RunError

_NOTHING = "nothing was written"


class OutputSet:
    """Writers next to their targets; the targets are replaced when the block ends well, and only then.

    Args:
        inputs: files that are read meanwhile; none of them may be a target.
    """

    def __init__(self, inputs: Iterable[Path] = ()) -> None:
        self._inputs = tuple(inputs)
        self._files: dict[Path, tuple[Path, BinaryIO]] = {}
        self._names: list[Path] = []
        self._folders: list[Path] = []

    def __enter__(self) -> OutputSet:
        return self

    def create(self, path: Path) -> BinaryIO:
        """A writer for ``path``, once; folders are created. A symbolic link stays: its target is replaced.

        Raises:
            InputError: it is an input, or not a regular file, or its folder cannot be written.
        """
        self._check(path)
        name = path
        path = Path(os.path.realpath(path))
        try:
            self._create_folder(path.parent)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            writer = temporary.open("wb", buffering=1 << 20)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}", _NOTHING) from error
        self._files[path] = (temporary, writer)
        self._names.append(name)
        return writer

    def _check(self, path: Path) -> None:
        if not path.exists():
            return
        if not path.is_file():
            raise InputError(f"{path}: not a regular file", "choose another output")
        for source in self._inputs:
            if source.exists() and path.samefile(source):
                raise InputError(f"{path}: this input would be overwritten", "choose another output")

    def write(self, path: Path, content: bytes) -> None:
        """Write a whole file."""
        writer = self.create(path)
        writer.write(content)
        writer.flush()
        os.fsync(writer.fileno())
        writer.close()

    def digest(self, path: Path) -> str:
        """SHA-256 of what was written for ``path`` so far."""
        temporary, writer = self._files[Path(os.path.realpath(path))]
        if not writer.closed:
            writer.flush()
        with temporary.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The targets as they were named, in the order of their creation."""
        return tuple(self._names)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
            elif isinstance(error, OSError):
                raise RunError(f"cannot write: {error.strerror or error}; {_NOTHING}", "free space") from error
        finally:
            self._discard()

    def _commit(self) -> None:
        try:
            for _, writer in self._files.values():
                if not writer.closed:
                    writer.flush()
                    os.fsync(writer.fileno())
                    writer.close()
            for path, (temporary, _) in self._files.items():
                temporary.replace(path)
        except OSError as error:
            hint = "free space or choose another directory"
            raise RunError(f"cannot write: {error.strerror or error}", hint) from error
        self._folders.clear()

    def _discard(self) -> None:
        for temporary, writer in self._files.values():
            with contextlib.suppress(OSError):  # a full disk: the file is removed below
                writer.close()
            temporary.unlink(missing_ok=True)
        for folder in reversed(self._folders):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _create_folder(self, folder: Path) -> None:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._folders += reversed(missing)
