"""What an index run has to do, decided from what was walked and what is known. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from skep.knowledge.walking import FileStat, WalkEntry

RACY_NS = 2_000_000_000
"""A file that changed less than this before it was observed may have changed again within the same clock tick of the
file system; its stat proves nothing (the same reasoning as git's "racily clean" entries). 2 s is the
coarsest tick in use (FAT; ext3 and HFS+ have 1 s), in nanoseconds."""


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """What the database remembers of a document. ``version_id`` None means it is deleted."""

    document_id: int
    path: str
    stat: FileStat
    observed_ns: int
    version_id: int | None
    chunker: str | None


@dataclass(slots=True)
class Plan:
    """The work of a run: files to read, paths that are gone, and how many need nothing."""

    to_read: list[WalkEntry] = field(default_factory=list)
    gone: list[KnownDocument] = field(default_factory=list)
    unchanged: int = 0


def make_plan(
    walked: Iterable[WalkEntry],
    known: Mapping[str, KnownDocument],
    *,
    unknown_below: Collection[str] = (),
    chunker: str,
) -> Plan:
    """Compare a walk with what is known under the same folder.

    ``unknown_below`` are folders that could not be listed: what was known in them is not taken for deleted.

    A file is read unless its document is alive, was cut by this ``chunker``, and has exactly the remembered stat, taken
    long enough after the last change. The stat is only a hint to skip reading: what was read is judged by its SHA-256.
    """
    plan = Plan()
    seen: set[str] = set()
    for entry in walked:
        seen.add(entry.path)
        document = known.get(entry.path)
        if document is not None and is_surely_unchanged(document, entry.stat, chunker=chunker):
            plan.unchanged += 1
        else:
            plan.to_read.append(entry)
    closed = tuple(f"{folder}/" if folder else "" for folder in unknown_below)
    plan.gone = [
        document
        for path, document in known.items()
        if document.version_id is not None and path not in seen and not path.startswith(closed)
    ]
    return plan


def is_surely_unchanged(document: KnownDocument, stat: FileStat, *, chunker: str) -> bool:
    """Whether the stat alone proves that the file is what was indexed."""
    return (
        document.version_id is not None
        and document.chunker == chunker
        and document.stat == stat
        and max(stat.ctime_ns, stat.mtime_ns) < document.observed_ns - RACY_NS
    )
