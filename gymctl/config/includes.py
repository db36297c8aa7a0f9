"""Who includes whom, and the two orders in which included files are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gymctl.config.documents import Document


class MergeOrder(StrEnum):
    """NeMo Gym 0.2 to 0.5 merge an included file after (over) its includer; its main branch before (under) it."""

    INCLUDES_LAST = "includes-last"
    INCLUDES_FIRST = "includes-first"


@dataclass
class Tree:
    """The files named by the user, all documents (breadth first), and the files each includes."""

    named: list[Path]
    documents: dict[Path, Document] = field(default_factory=dict)
    children: dict[Path, list[Path]] = field(default_factory=dict)

    def includes(self) -> Mapping[str, frozenset[str]]:
        """For every file the names of those it brings in, near and far."""
        return {
            self.documents[path].name: frozenset(self.documents[found].name for found in self._below(path))
            for path, below in self.children.items()
            if below
        }

    def _below(self, path: Path) -> set[Path]:
        found: set[Path] = set()
        pending = list(self.children[path])
        while pending:
            here = pending.pop()
            if here != path and here not in found:
                found.add(here)
                pending += self.children[here]
        return found


def flatten(tree: Tree, order: MergeOrder) -> Iterator[Document]:
    """The documents in merge order, each once: breadth first, or every file right after those it includes."""
    if order is MergeOrder.INCLUDES_LAST:
        yield from tree.documents.values()
        return
    done: set[Path] = set()
    for path in tree.named:
        yield from _included_first(path, tree, done)


def _included_first(path: Path, tree: Tree, done: set[Path]) -> Iterator[Document]:
    if path not in done:
        done.add(path)
        for child in tree.children[path]:
            yield from _included_first(child, tree, done)
        yield tree.documents[path]
