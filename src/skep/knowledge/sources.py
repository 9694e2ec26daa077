"""Which collection a folder belongs to, decided from what is known. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skep.knowledge.interfaces import CollectionNameError, FolderGoneError, FolderTakenError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A folder that a collection is indexed from. ``root`` is written as document paths are."""

    collection_id: int
    source_id: int
    collection: str
    node: str
    root: str
    scanned_at: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a path to index means: a collection, a root, and which part of the root."""

    collection: str
    root: str
    subpath: str


def find_place(
    path: str, sources: Sequence[SourceRow], *, node: str, collection: str | None, is_there: Callable[[str], bool]
) -> Place:
    """The place of an absolute path.

    Without a name, a path inside a folder that is indexed already means that part of it, and a new folder gets a
    collection of its own name. With a name, the folder is added to that collection.

    Raises FolderTakenError when a new folder's own name belongs to another folder, FolderGoneError when that is one of this machine
    for which ``is_there`` says no, CollectionNameError for a bad name.
    """
    eligible = [source for source in sources if collection in (None, source.collection)]
    nearest = innermost(eligible, path, node=node)
    if nearest is not None:
        return Place(nearest.collection, nearest.root, below(path, nearest.root))
    if collection is not None:
        return Place(check_name(collection), path, "")
    name = name_for(path)
    taken = next((source for source in sources if source.collection == name), None)
    if taken is not None:
        is_gone = taken.node == node and not is_there(taken.root)
        raise (FolderGoneError if is_gone else FolderTakenError)(collection=name, root=taken.root)
    return Place(name, path, "")


def can_be_stored(path: str) -> bool:
    """Whether a text could be a document's path: the database keeps no NUL and no lone surrogate, so nothing has them."""
    return "\0" not in path and not any("\ud800" <= character <= "\udfff" for character in path)


def innermost(sources: Sequence[SourceRow], path: str, *, node: str) -> SourceRow | None:
    """The source of this machine whose folder contains an absolute path most closely; None when none does."""
    around = [source for source in sources if source.node == node and _is_inside(path, source.root)]
    return max(around, key=lambda source: len(source.root), default=None)


def below(path: str, root: str) -> str:
    """An absolute path as a document path of a folder that contains it; empty for the folder itself."""
    return path[len(root.rstrip("/")) :].strip("/")


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def name_for(path: str) -> str:
    """A collection's name made from a folder's: what cannot stand in a name becomes a dash."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.rstrip("/").rpartition("/")[2]).strip("-._")
    return name[:200] or "root"


def check_name(name: str) -> str:
    """The name itself, if it can be one. Raises CollectionNameError otherwise."""
    if not _NAME.fullmatch(name):
        raise CollectionNameError(name=name)
    return name
