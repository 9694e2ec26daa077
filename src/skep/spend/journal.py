"""Calls written to a local file before they leave and when they end, so that none is forgotten when this process dies.

    <folder>/<process>.lock         held by flock as long as the process lives; in it, which database the calls belong to, and the
                                    columns of the lines, so that another version can read what this one left behind
    <folder>/<process>.<n>.log      its segments; the last is written to

What was written survives the end of the process at once (it is in the system's memory), and power loss only with ``sync``.
A segment goes when all that ended in it is in the ledger; calls still open are begun again in the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from skep.spend.interfaces import JournalUnwritableError
from skep.spend.lines import COLUMNS
from skep.spend.ports import Journal

SEGMENT_BYTES = 16 << 20
MOST_BYTES = 4 << 30
"""Of all segments together: of more no call is begun. About 8 million calls that wait for the database."""

CHUNK_BYTES = 4 << 20
"""Read at a time, about 8,000 calls: the more there are in one flush, the fewer windows are charged twice in a row."""

_FLUSH_AT_BYTES = 2 << 20
"""So much that was not flushed wakes the flusher before its time."""

_END = ord("E")


@dataclass(slots=True, eq=False)
class _Segment:
    path: Path
    descriptor: int
    size: int = 0
    flushed: int = 0
    is_doubtful: bool = False
    """Something in it may not be on the disk."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of ended calls that are to be put into the ledger, and where the journal stands when they are."""

    lines: bytes
    upto: int
    """Offset in the oldest segment."""
    held: int
    """How many of the lines could not be written to the file."""


class FileJournal(Journal):
    """See the module. Belongs to one thread.

    ``wake`` is called when there is much to flush; ``soon`` does something at the end of this turn of the loop, or at once.
    """

    def __init__(
        self,
        folder: Path,
        process_id: int,
        *,
        sync: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        most_bytes: int = MOST_BYTES,
        wake: Callable[[], None] = lambda: None,
        soon: Callable[[Callable[[], object]], object] = lambda do: do(),
    ) -> None:
        self._folder = folder
        self._process_id = process_id
        self._sync = sync
        self._segment_bytes = segment_bytes
        self._most_bytes = most_bytes
        self._wake = wake
        self._soon = soon
        self._lock = -1
        self._database = ""
        self._number = 0
        self._segments: deque[_Segment] = deque()
        self._open: dict[str, bytes] = {}
        self._ended: list[bytes] = []
        """Ends of this turn of the loop: they leave with the next line that begins a call, or at the turn's end."""
        self._held: deque[bytes] = deque()
        """Ends that the disk would not take: kept here until it does, or until they are in the ledger."""

    @property
    def database(self) -> str:
        """The identity of the database that the calls belong to; empty as long as it is not known."""
        return self._database

    def name_database(self, identity: str) -> None:
        """Keep which database the calls belong to, before the first of them. Raises JournalUnwritableError."""
        try:
            os.pwrite(self._lock, label(identity, COLUMNS), 0)
            if self._sync:
                os.fdatasync(self._lock)
        except OSError as error:
            raise self._unwritable(error) from error
        self._database = identity

    @property
    def open_calls(self) -> int:
        """How many calls were begun and have not ended."""
        return len(self._open)

    @property
    def waiting_bytes(self) -> int:
        """How much was written and is not known to be in the ledger."""
        in_memory = sum(map(len, self._held)) + sum(map(len, self._ended))
        return sum(each.size - each.flushed for each in self._segments) + in_memory

    def start(self) -> None:
        """Take the lock and begin the first segment. Raises JournalUnwritableError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(lock_path(self._folder, self._process_id))
            self._segments.append(self._new_segment())
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self, *, is_done: bool) -> None:
        """Let go of it; with ``is_done`` the files go too, for whatever stood in them is in the ledger."""
        self.write_ended()
        for segment in self._segments:
            os.close(segment.descriptor)
            if is_done:
                segment.path.unlink(missing_ok=True)
        self._segments.clear()
        if self._lock >= 0:
            if is_done:
                lock_path(self._folder, self._process_id).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    @override
    def begin(self, call_id: str, line: str) -> None:
        data = line.encode("utf-8", "replace")
        if not self._segments:
            raise JournalUnwritableError(path=self._folder, reason="this process is stopping")
        try:
            if self._ended:
                self.write_ended()
            self._make_room()
            self._write(self._segments[-1], data)
            if self._sync:
                self._make_safe(self._segments[-1], len(data))
        except OSError as error:
            raise self._unwritable(error) from error
        self._open[call_id] = data

    @override
    def enter(self, line: str) -> None:
        if not self._segments:
            raise JournalUnwritableError(path=self._folder, reason="this process is stopping")
        data = line.encode("utf-8", "replace")
        try:
            if self._held:
                # Each turn of the loop may add some: a disk that takes nothing must not fill the memory instead.
                self._write_held()
            if self._held:
                raise OSError(errno.ENOSPC, "the lines of calls that ended could not be written")
            self._make_room()
            if self._sync:
                self.write_ended()
                self._write(self._segments[-1], data)
                self._make_safe(self._segments[-1], len(data))
                return
        except OSError as error:
            raise self._unwritable(error) from error
        self._add_ended(data)

    @override
    def end(self, call_id: str, line: str) -> None:
        self._open.pop(call_id, None)
        if not self._segments:
            return  # closed with this call under way: whoever adopts the journal counts it as lost
        self._add_ended(line.encode("utf-8", "replace"))

    def _add_ended(self, data: bytes) -> None:
        self._ended.append(data)
        if len(self._ended) == 1:
            self._soon(self.write_ended)

    def write_ended(self) -> None:
        """Write the lines of the calls that ended in this turn of the loop."""
        lines, self._ended = self._ended, []
        if not lines or not self._segments:
            return
        segment = self._segments[-1]
        try:
            self._write(segment, b"".join(lines))
        except OSError:
            # The calls are over: there is nobody to tell. At worst, if this process dies now, they count as reserved.
            self._held.extend(lines)
        if segment.size - segment.flushed > _FLUSH_AT_BYTES:
            self._wake()

    def _make_safe(self, segment: _Segment, size: int) -> None:
        """Have the last line safe from power loss, or take it back: a call that is refused must not be adopted as lost."""
        try:
            os.fdatasync(segment.descriptor)
        except OSError:
            segment.size -= size
            # What else the disk did not take is forgotten by the system after it has said so once: this file is done with.
            segment.is_doubtful = True
            os.ftruncate(segment.descriptor, segment.size)
            raise

    def next_batch(self) -> Batch | None:
        """The oldest lines that are to be flushed; None when there are none. Nothing changes until `done`."""
        self.write_ended()
        self._write_held()
        while True:
            segment = self._drop_flushed()
            if segment.flushed >= segment.size:
                break
            chunk = os.pread(segment.descriptor, min(CHUNK_BYTES, segment.size - segment.flushed), segment.flushed)
            whole = chunk.rfind(b"\n") + 1
            lines = ended_lines(chunk[:whole])
            if lines:
                return Batch(lines, segment.flushed + whole, 0)
            segment.flushed += whole
        return Batch(b"".join(self._held), segment.flushed, len(self._held)) if self._held else None

    def done(self, batch: Batch) -> None:
        """The lines of this batch are in the ledger."""
        self._segments[0].flushed = batch.upto
        for _ in range(batch.held):
            self._held.popleft()
        self._drop_flushed()

    def _drop_flushed(self) -> _Segment:
        """Remove segments of which everything is in the ledger; the oldest that is left."""
        while len(self._segments) > 1 and self._segments[0].flushed >= self._segments[0].size:
            segment = self._segments.popleft()
            os.close(segment.descriptor)
            segment.path.unlink(missing_ok=True)
        return self._segments[0]

    def _write_held(self) -> None:
        try:
            while self._held:
                self._write(self._segments[-1], self._held[0])
                self._held.popleft()
        except OSError:
            return  # still no room: they are flushed from memory

    def _make_room(self) -> None:
        """Begin another segment when the last has had its fill. Raises OSError when there are too many."""
        if self._segments[-1].size >= self._segment_bytes or self._segments[-1].is_doubtful:
            self._rotate()

    def _rotate(self) -> None:
        """Begin a new segment with the calls that are open, so that the old one can go."""
        if sum(segment.size for segment in self._segments) >= self._most_bytes:
            raise OSError(errno.EFBIG, "the database was away for so long that it holds as much as it may")
        segment = self._new_segment()
        try:
            self._write(segment, b"".join(self._open.values()))
        except OSError:
            os.close(segment.descriptor)
            segment.path.unlink(missing_ok=True)
            raise
        self._segments.append(segment)

    def _new_segment(self) -> _Segment:
        self._number += 1
        path = self._folder / f"{self._process_id:x}.{self._number}.log"
        return _Segment(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600))

    def _write(self, segment: _Segment, data: bytes) -> None:
        written = os.write(segment.descriptor, data)
        if written < len(data):
            # A full disk takes the beginning of a line: it must not stand there.
            os.ftruncate(segment.descriptor, segment.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        segment.size += written

    def _unwritable(self, error: OSError) -> JournalUnwritableError:
        return JournalUnwritableError(path=self._folder, reason=error.strerror or str(error))


def ended_lines(lines: bytes) -> bytes:
    """Only the lines of ended calls."""
    return b"".join([line for line in lines.splitlines(keepends=True) if line[0] == _END])


def label(identity: str, columns: Sequence[str]) -> bytes:
    """What stands in a journal's lock."""
    return f"{identity}\n{','.join(columns)}\n".encode("ascii")


def lock_path(folder: Path, process_id: int) -> Path:
    """The file that tells whether a process lives."""
    return folder / f"{process_id:x}.lock"


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between making and locking it, another process may have taken it for one left over, and removed it.
        if os.fstat(descriptor).st_nlink == 0:
            raise OSError(errno.EAGAIN, "it was removed while it was made; try again")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
