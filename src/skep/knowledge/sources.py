"""Which collection a folder belongs to, decided from what is known. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skep.knowledge.interfaces import CollectionNameError, FolderTakenError

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


def find_place(path: str, sources: Sequence[SourceRow], *, node: str, collection: str | None) -> Place:
    """The place of an absolute path.

    Without a name, a path inside a folder that is indexed already means that part of it, and a new folder gets a
    collection of its own name. With a name, the folder is added to that collection.

    Raises FolderTakenError when a new folder's own name belongs to another folder, CollectionNameError for a bad name.
    """
    here = [source for source in sources if source.node == node and collection in (None, source.collection)]
    around = [source for source in here if is_inside(path, source.root)]
    if around:
        nearest = max(around, key=lambda source: len(source.root))
        return Place(nearest.collection, nearest.root, path[len(nearest.root.rstrip("/")) :].strip("/"))
    if collection is not None:
        return Place(check_name(collection), path, "")
    name = name_for(path)
    taken = next((source for source in sources if source.collection == name), None)
    if taken is not None:
        raise FolderTakenError(collection=name, root=taken.root)
    return Place(name, path, "")


def is_inside(path: str, root: str) -> bool:
    """Whether an absolute path is a folder or below it."""
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
