"""Reading a document back: the stored original of what searches show, never the disk."""

from __future__ import annotations

import asyncio
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from skep.access import Principal
from skep.knowledge.following import CollectionRow
from skep.knowledge.interfaces import DocumentNotFoundError
from skep.knowledge.models import DiskState, DocumentText
from skep.knowledge.sources import can_be_stored
from skep.knowledge.storing import queries
from skep.knowledge.walking import SkipReason, decode_path, decode_text
from skep.store import Database


@dataclass(frozen=True, slots=True)
class _Original:
    """A living document; ``deflated`` only of the first of its path."""

    collection: str
    path: str
    language: str
    node: str
    root: str
    size_bytes: int
    mtime_ns: int
    indexed_at: str
    deflated: bytes | None


async def read_document(
    database: Database, principal: Principal, chosen: Sequence[CollectionRow], path: str, *, node: str
) -> DocumentText:
    """The text of the document at ``path`` in the first of these collections that has it. ``node`` is this machine.

    Raises DocumentNotFoundError.
    """
    bound = {
        "project_id": principal.project_id,
        "collection_ids": [collection.collection_id for collection in chosen],
        "path": path,
    }
    rows = await database.fetch_all(_Original, queries["fetch_originals"], bound) if can_be_stored(path) else []
    if not rows or rows[0].deflated is None:
        names = ", ".join(collection.name for collection in chosen)
        raise DocumentNotFoundError(what="document", name=path, collection=names, path=path)
    first = rows[0]
    text, disk = await asyncio.to_thread(lambda: (_text(first), _compared(first, node)))
    return DocumentText(
        collection=first.collection,
        path=first.path,
        language=first.language,
        text=text,
        indexed_at=first.indexed_at,
        disk=disk,
        others=tuple(row.collection for row in rows[1:]),
    )


def _text(original: _Original) -> str:
    text = decode_text(zlib.decompress(original.deflated or b""))
    # What is no text was not stored; a rule that has become stricter since then makes the document an empty one.
    return "" if isinstance(text, SkipReason) else text


def _compared(original: _Original, node: str) -> DiskState:
    """What the file looks like now, by its size and time; nothing of it is read."""
    if original.node != node:
        return "elsewhere"
    try:
        now = os.lstat(os.path.join(decode_path(original.root), decode_path(original.path)))
    except (OSError, ValueError):
        return "gone"
    same = stat.S_ISREG(now.st_mode) and (now.st_size, now.st_mtime_ns) == (original.size_bytes, original.mtime_ns)
    return "same" if same else "changed"
