"""Journals whose process is gone: found by their free locks, and read to the end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from skep.spend.journal import CHUNK_BYTES
from skep.spend.lines import COLUMNS, NULL

_BEGUN = ord("B")
_LONGEST_LABEL = 4096
_NULL = NULL.encode()
_FIRST = COLUMNS[:2]
"""Where a line says its kind and its call, in every version."""


@dataclass(slots=True, eq=False)
class LeftJournal:
    """The journal of a process that is gone. Its lock is ours until `close`."""

    process_id: int
    database: str
    """The identity of the database that its calls belong to; empty when it never knew."""
    columns: tuple[str, ...]
    """Of its lines, which another version may have written."""
    lock: Path
    segments: list[Path]
    _descriptor: int

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.stat().st_size for segment in self.segments)

    def belongs_to(self, database: str) -> bool:
        """Whether its calls are to be put into this database, and can be. One without calls belongs to all."""
        return (self.database == database and self.columns[:2] == _FIRST) or self.size == 0

    def batches(self) -> Iterator[bytes]:
        """The lines of ended calls, then those of the calls that were begun and of whose end nothing is known.

        In pieces; only calls that are open at the same time are held in memory.
        """
        reorder = _reordering(self.columns)
        begun: dict[bytes, bytes] = {}
        ended: list[bytes] = []
        size = 0
        for written in _lines(self.segments):
            line = written if reorder is None else reorder(written)
            call_id = line.split(b"\t", 2)[1]
            if line[0] == _BEGUN:
                begun[call_id] = line
                continue
            begun.pop(call_id, None)
            ended.append(line)
            size += len(line)
            if size >= CHUNK_BYTES:
                yield b"".join(ended)
                ended, size = [], 0
        lost = list(begun.values())
        yield from filter(None, [b"".join(ended)])
        for start in range(0, len(lost), 1000):
            yield b"".join(lost[start : start + 1000])

    def remove(self) -> None:
        """Everything in it is in the ledger, and its leases were given back."""
        for segment in self.segments:
            segment.unlink(missing_ok=True)
        self.lock.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


def left_journals(folder: Path) -> Generator[LeftJournal, None, None]:
    """The journals in a folder whose process is gone, one after the other; each is closed when the next is asked for."""
    for lock in sorted(folder.glob("*.lock")):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            continue  # another process was quicker
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue  # it lives
        if os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            continue  # adopted between the two
        segments = sorted(folder.glob(f"{lock.stem}.*.log"), key=lambda path: int(path.name.split(".")[1]))
        database, _, columns = os.pread(descriptor, _LONGEST_LABEL, 0).decode("ascii", "replace").partition("\n")
        named = tuple(columns.strip().split(","))
        left = LeftJournal(int(lock.stem, 16), database, named, lock, segments, descriptor)
        try:
            yield left
        finally:
            left.close()


def _reordering(columns: Sequence[str]) -> Callable[[bytes], bytes] | None:
    """What makes our lines of those with other columns; None: they are ours.

    What this version does not know is left out, what it knows besides was not told. A line that has not as many cells stays as it is, and
    is put aside with its reason when it is copied.
    """
    if tuple(columns) == COLUMNS:
        return None
    places = [columns.index(name) if name in columns else None for name in COLUMNS]

    def reorder(line: bytes) -> bytes:
        cells = line[:-1].split(b"\t")
        if len(cells) != len(columns):
            return line
        return b"\t".join([_NULL if place is None else cells[place] for place in places]) + b"\n"

    return reorder


def _lines(segments: list[Path]) -> Iterator[bytes]:
    for segment in segments:
        with segment.open("rb") as file:
            for line in file:
                # The last one may be half: then its call did not leave, or is known from the line that began it.
                if line.endswith(b"\n") and line.count(b"\t") > 1:
                    yield line
