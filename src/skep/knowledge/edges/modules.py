"""Module keys: paths from their end to their start, so that "ends with a/b" becomes "starts with b/a/", which an index can find."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

_INDEX_STEMS = frozenset({"__init__", "index", "mod", "init"})
"""Files that stand for their folder: Python, JavaScript, Rust, Lua."""

_ROOTS = ("", "src/", "lib/")
"""Folders in which a module of one part may stand: nothing else tells ``import json`` from ``flask/json``."""

MAX_KEY_CHARS = 500
"""Of up to 4 bytes each; PostgreSQL's B-trees take 2,704 bytes."""

MAX_PARTS = 20


def stem_of(file_name: str) -> str:
    """A file's name without its ending; of ``types.d.ts`` without both. Names that start with a dot have none."""
    stem = file_name.rpartition(".")[0] or file_name
    return stem.removesuffix(".d") or stem


def module_of(path: str) -> str:
    """The key of the file at ``path``, relative to the indexed folder; empty when it would be too long for an index."""
    folder, _, file_name = path.rpartition("/")
    stem = stem_of(file_name)
    parts = folder.split("/") if folder else []
    if not (stem in _INDEX_STEMS and parts):
        parts.append(stem)
    key = exact("/".join(parts))
    return key if len(key) <= MAX_KEY_CHARS else ""


def exact(path: str) -> str:
    """The key of exactly one module, by its whole path without ending."""
    return "/".join(reversed(path.split("/"))) + "//"


def ending_with(parts: Sequence[str], *, anywhere: bool = False, root: str = "") -> Iterator[str]:
    """Keys of the modules whose path ends with ``parts``. One part alone is looked for ``anywhere`` or, because it says so
    little, only in the folders that hold modules; ``root`` is one more of them.
    """
    if not parts or not all(parts) or len(parts) > MAX_PARTS:
        return
    key = "/".join(reversed(parts)) + "/"
    if len(key) > MAX_KEY_CHARS:
        return
    if len(parts) > 1 or anywhere:
        yield key
    else:
        yield from (key + (folder or "/") for folder in dict.fromkeys((*_ROOTS, root)))


def relative(path: str, target: str) -> Iterator[str]:
    """The key of what ``target`` (``../a/b``, without ending) means in the file at ``path``; none outside the folder."""
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if joined.startswith(("..", "/")) or len(joined) > MAX_KEY_CHARS:
        return
    if joined != ".":
        parts = joined.split("/")
        if parts[-1] in _INDEX_STEMS and len(parts) > 1:
            parts.pop()
        yield exact("/".join(parts))
