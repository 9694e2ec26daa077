"""The one writer of a lexical index."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import tantivy

from skep.knowledge.lexical.folder import (
    committed_state,
    create_generation,
    open_generation,
    read_pointer,
    remove_generation,
    remove_generations_but,
    take_lock,
    write_border,
    write_pointer,
)
from skep.knowledge.lexical.interfaces import LexicalLockedError, LexicalMissingError
from skep.knowledge.lexical.models import LexicalDocument
from skep.knowledge.lexical.schema import (
    MARKER,
    STATE_MARK,
    VERSION,
    CommittedState,
    index_document,
    state_document,
)

HEAP_BYTES = 48_000_000
"""Memory for postings before a segment is written; with merging and our own tables the process stays below 150 MB."""

_LOCK_RETRY_SECONDS = 0.02

_NO_VERSION = -1

_THREADS = 1
"""One indexing thread keeps up with our tokenizer, makes fewer segments, and leaves the other cores alone."""


class LexicalWriter:
    """Writes one index folder; a context manager that holds the folder's lock while it is open.

        with LexicalWriter(folder) as writer:
            writer.remove([7])
            writer.add(documents_of_version_8)
            writer.commit(seq=42)

    Nothing is visible before :meth:`commit`. Adding a version first removes what was there of it, so that replaying
    changes after a crash gives the same index. With ``rebuild=True`` all this happens in a new, empty generation aside,
    which readers see after :meth:`publish`; without that call it is thrown away.

    Who must look at the index between taking the lock and writing calls :meth:`acquire` and :meth:`open` instead.
    Calls from several threads follow one another: :meth:`close` waits for a commit that is under way.
    """

    def __init__(self, folder: Path, *, rebuild: bool = False, timeout_seconds: float = 0.0) -> None:
        self._folder = folder
        self._rebuild = rebuild
        self._timeout_seconds = timeout_seconds
        self._one_at_a_time = threading.RLock()
        self._closed = False
        self._lock: int | None = None
        self._index: tantivy.Index | None = None
        self._writer: tantivy.IndexWriter | None = None
        self._generation = ""
        self._published = False
        self._state = CommittedState()
        self._added = 0

    def __enter__(self) -> Self:
        """Take the lock and open the current generation; a missing one is made, empty, at seq 0.

        Raises :class:`LexicalLockedError`, :class:`LexicalWriteError`, and unless rebuilding
        :class:`LexicalOutdatedError` or :class:`LexicalDamagedError`.
        """
        self.acquire()
        self.open(rebuild=self._rebuild)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def acquire(self) -> None:
        """Take the lock. Raises :class:`LexicalLockedError` when another holds it for longer than ``timeout_seconds``

        (0 tries once) or when this writer is closed meanwhile, and :class:`LexicalWriteError`.
        """
        deadline = time.monotonic() + self._timeout_seconds
        while not self._take():
            if self._closed or time.monotonic() >= deadline:
                raise LexicalLockedError(folder=self._folder, timeout_seconds=self._timeout_seconds)
            time.sleep(_LOCK_RETRY_SECONDS)

    def open(self, *, rebuild: bool) -> None:
        """Begin to write, holding the lock already. Raises as entering does, and lets go of the lock then."""
        with self._one_at_a_time:
            if self._lock is None:
                raise RuntimeError("LexicalWriter is opened without the lock")
            self._rebuild = rebuild
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    @property
    def applied_seq(self) -> int:
        """The last change committed to the generation being written; 0 when none."""
        return self._state.seq

    @property
    def generation(self) -> str:
        """The name of the generation being written."""
        return self._generation

    def add(self, documents: Iterable[LexicalDocument]) -> int:
        """Put passages in, each version whole, in one call; what was there of these versions is removed first.

        Returns how many passages were added. Raises :class:`LexicalWriteError`.
        """
        fresh: set[int] = set()
        added = 0
        with self._one_at_a_time:
            writer = self._open_writer()
            for document in documents:
                # What the caller's iterable raises is the caller's; only our own part is translated.
                with write_border(self._folder):
                    if document.version_id not in fresh:
                        writer.delete_documents_by_term(VERSION, document.version_id)
                        fresh.add(document.version_id)
                    writer.add_document(index_document(document))
                added += 1
            self._added += added
        return added

    def remove(self, version_ids: Iterable[int]) -> None:
        """Take versions out; unknown ones do not matter. Raises :class:`LexicalWriteError`."""
        with self._one_at_a_time, write_border(self._folder):
            writer = self._open_writer()
            for version_id in version_ids:
                writer.delete_documents_by_term(VERSION, version_id)

    def commit(self, seq: int) -> None:
        """Make everything so far durable together with the position ``seq`` of the change log.

        Raises :class:`LexicalWriteError`; the index on disk is then as after the commit before.
        """
        with self._one_at_a_time, write_border(self._folder):
            writer = self._open_writer()
            state = CommittedState(seq=seq, added=self._state.added + self._added)
            writer.delete_documents_by_term(MARKER, STATE_MARK)
            writer.add_document(state_document(state))
            writer.commit()
            self._state = state
            self._added = 0

    def publish(self) -> None:
        """Let readers see the new generation, as it was committed last, and remove the old ones.

        Only of use when rebuilding; calling it again does nothing.
        """
        with self._one_at_a_time, write_border(self._folder):
            if self._published:
                return
            write_pointer(self._folder, self._generation)
            self._published = True
            remove_generations_but(self._folder, self._generation)

    def close(self) -> None:
        """Give up what was not committed, wait for merges, give back the lock, for good. May be called again.

        Without Tantivy's rollback, which leaves merges to themselves: they would go on without the lock, and the work of
        all merges that outlast their commit would be lost.
        """
        with self._one_at_a_time:
            writer, self._writer, self._index = self._writer, None, None
            lock, self._lock = self._lock, None
            self._closed = True
            try:
                if writer is not None:
                    with write_border(self._folder):
                        writer.wait_merging_threads()
            finally:
                if lock is not None:
                    if self._generation and not self._published:
                        remove_generation(self._folder, self._generation)
                    os.close(lock)

    def _take(self) -> bool:
        with self._one_at_a_time:
            if not self._closed:
                self._lock = take_lock(self._folder)
            return self._lock is not None

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            raise RuntimeError("LexicalWriter is used outside its with block")
        return self._writer

    def _current_generation(self) -> str | None:
        """What the pointer names; None when there is nothing to keep."""
        try:
            return read_pointer(self._folder).generation
        except LexicalMissingError:
            return None

    def _open(self) -> None:
        if not self._rebuild:
            current = self._current_generation()
            if current is not None:
                self._open_current(current)
                return
        self._generation, self._index = create_generation(self._folder)
        self._start_writing()
        self.commit(seq=0)
        if not self._rebuild:
            self.publish()

    def _open_current(self, generation: str) -> None:
        remove_generations_but(self._folder, generation)
        index = open_generation(self._folder, generation)
        self._state = committed_state(self._folder, index.searcher())
        self._index, self._generation, self._published = index, generation, True
        self._start_writing()

    def _start_writing(self) -> None:
        if self._index is None:
            raise RuntimeError("LexicalWriter has no index to write")
        with write_border(self._folder):
            self._writer = self._index.writer(HEAP_BYTES, _THREADS)
            # A writer that was killed within its commit leaves lists of deleted passages whose names count operations. Whoever does
            # the same again comes to the same names, and Tantivy writes no file that is there.
            self._writer.garbage_collect_files()
            # Tantivy gives a writer's first operation the number of the last commit. Should segments then be merged before
            # the next one, as after a killed writer, those that were up to date with it lose that operation: let it be this.
            self._writer.delete_documents_by_term(VERSION, _NO_VERSION)
