"""An index run: walk, compare, cut, store, follow. Thin: what is decided is decided in `planning` and `storing`."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Self

from psycopg.types.json import Jsonb

from skep.knowledge.interfaces import LexicalBusyError, ReportProgress
from skep.knowledge.models import FailedFile, IndexReport, IndexSeconds
from skep.knowledge.parsing import ParseJob, SpareWorker, prepare_files
from skep.knowledge.planning import KnownDocument, Plan, make_plan
from skep.knowledge.preparing import FAILURES, ROOT_GONE, PreparedFile, StoredContent, UnreadableFile
from skep.knowledge.storing import StoreCounts, Target, queries, remove_documents, store_files
from skep.knowledge.walking import (
    FileStat,
    RootMissingError,
    Skipped,
    WalkEntry,
    WalkOptions,
    WalkReport,
    decode_path,
    encode_path,
    walk,
)
from skep.store import Database

_BATCH_CHUNKS = 2_000
"""Passages stored per transaction: large enough that its fixed cost (16 statements) vanishes, small enough that the
collection's lock is held for about a second."""

_BATCH_FILES = 400
_BATCH_BYTES = 8 << 20
"""Bounds of a batch in files and in bytes of text, for collections of very small or very large passages."""

_STORED_LIMIT = 500_000
"""Contents looked up to recognise copies, at most; beyond it a copy is cut again, which costs time but no truth."""

Follow = Callable[[bool], Awaitable[int]]
"""Brings the lexical index up to what is stored; True makes it visible at once."""

OpenFollow = Callable[[], AbstractAsyncContextManager[Follow]]
"""Takes the lexical index's writer for a while. Raises LexicalBusyError when another process has it."""


@dataclass(frozen=True, slots=True)
class IndexTask:
    """What a run is about. ``subpath`` restricts it to one file or folder below the root; empty means everything.

    `run_parts` takes several, none inside another, in ``parts``.
    """

    collection: str
    target: Target
    root: bytes
    root_text: str
    subpath: str
    options: WalkOptions
    workers: int
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartsReport:
    """What a run over parts of a folder found and did."""

    counts: StoreCounts
    folders: tuple[bytes, ...]
    """Every folder it listed, as the system spells it, relative to the root; those above the parts too."""
    is_too_much: bool = False
    """It found more to read than it was allowed to, and did nothing."""


@dataclass(slots=True)
class _Clock:
    """Seconds spent per phase; phases overlap."""

    started: float = field(default_factory=time.perf_counter)
    walk: float = 0.0
    parse: float = 0.0
    store: float = 0.0
    lexical: float = 0.0

    def seconds(self) -> IndexSeconds:
        total = time.perf_counter() - self.started
        return IndexSeconds(*(round(part, 3) for part in (self.walk, self.parse, self.store, self.lexical, total)))


async def run_index(
    database: Database, task: IndexTask, open_follow: OpenFollow, report: ReportProgress
) -> IndexReport:
    """Make the stored state of a folder equal to the folder, and let the lexical index follow meanwhile.

    When another process is writing the lexical index, which may take long or, if it was stopped, for ever, this stores
    all the same: what is stored needs no lock for longer than a transaction. The index then follows later.

    Raises walking's errors when the root cannot be walked, and RootMissingError for a part of it that neither exists nor
    was indexed; then nothing was changed. Interrupted at any moment, also by the folder's disappearance, what was stored
    is right, and the next run does the rest.
    """
    spare = SpareWorker()
    spare.begin()
    try:
        return await _run_index(database, task, open_follow, report, spare)
    finally:
        await spare.close()


async def _run_index(
    database: Database, task: IndexTask, open_follow: OpenFollow, report: ReportProgress, spare: SpareWorker
) -> IndexReport:
    clock = _Clock()
    report("walk", 0, 0)
    scan_started_ns = time.time_ns()
    walked = WalkReport()
    known_coming = asyncio.create_task(_fetch_known(database, task), name="skep-known-documents")
    try:
        entries = await asyncio.to_thread(_walk, task, walked)
        known = await known_coming
    finally:
        known_coming.cancel()
    if task.subpath and not entries and not known:
        await asyncio.to_thread(_check_subpath, task)
    plan = make_plan(entries, known, unknown_below=_unknown_folders(walked), chunker=task.target.chunker)
    clock.walk = time.perf_counter() - clock.started
    run = _Run(database, task, report, clock, spare)
    if plan.to_read or plan.gone:
        await run.work(plan, known, open_follow, observed_ns=scan_started_ns)
    await run.note_end(walked)
    chunks_total = await _count_chunks(database, task.target)
    return IndexReport(
        collection=task.collection,
        root=task.root_text,
        files_seen=len(entries),
        files_added=run.counts.added,
        files_changed=run.counts.changed,
        files_removed=run.counts.removed,
        files_unchanged=plan.unchanged + run.counts.unchanged,
        files_failed=(*run.failed, *(_as_failed(skipped) for skipped in walked.skipped if skipped.reason in FAILURES)),
        files_skipped=_skip_counts(walked),
        notices=(*run.notices, *(_as_failed(skipped) for skipped in walked.skipped if skipped.reason not in FAILURES)),
        chunks_total=chunks_total,
        chunks_new=run.counts.chunks_new,
        chunks_reused=run.counts.chunks_reused,
        seconds=clock.seconds(),
    )


async def run_parts(
    database: Database, task: IndexTask, open_follow: OpenFollow, spare: SpareWorker, *, most_files: int
) -> PartsReport:
    """What `run_index` does, for the parts of the task alone and without anything that costs when nothing changed.

    With more than ``most_files`` to read nothing is done. A part that neither exists nor was indexed is no error. Raises
    walking's errors when the root cannot be walked; then nothing was changed.
    """
    scan_started_ns = time.time_ns()
    walked = WalkReport()
    entries, known = await asyncio.gather(asyncio.to_thread(_walk, task, walked), _fetch_known(database, task))
    plan = make_plan(entries, known, unknown_below=_unknown_folders(walked), chunker=task.target.chunker)
    folders = tuple(walked.entered)
    if len(plan.to_read) > most_files:
        return PartsReport(StoreCounts(), folders, is_too_much=True)
    run = _Run(database, task, _report_nothing, _Clock(), spare)
    if plan.to_read or plan.gone:
        await run.work(plan, known, open_follow, observed_ns=scan_started_ns)
        await run.note_end(walked)
    return PartsReport(run.counts, folders)


def _report_nothing(phase: str, done: int, total: int) -> None:
    """Nobody looks at the progress of a moment."""


async def _follow_later(_settle: bool) -> int:
    return 0


class _Run:
    """The state of one index run."""

    def __init__(
        self, database: Database, task: IndexTask, report: ReportProgress, clock: _Clock, spare: SpareWorker
    ) -> None:
        self._spare = spare
        self._database = database
        self._task = task
        self._report = report
        self._clock = clock
        self.counts = StoreCounts()
        self.failed: list[FailedFile] = []
        self.notices: list[FailedFile] = []
        self.left_out: list[str] = []
        """Paths that were walked but not read, whatever the reason: nothing of them is findable any more."""
        self._outrun: set[str] = set()

    async def work(
        self, plan: Plan, known: Mapping[str, KnownDocument], open_follow: OpenFollow, *, observed_ns: int
    ) -> None:
        """Store what is new, take away what is gone, and let the lexical index follow."""
        async with AsyncExitStack() as stack:
            try:
                follow = await stack.enter_async_context(open_follow())
            except LexicalBusyError:
                follow = _follow_later
            await self.store(plan.to_read, follow)
            await self.store_outrun(follow)
            left_out = [known[path] for path in self.left_out if path in known and known[path].version_id is not None]
            await self.remove([*plan.gone, *left_out], observed_ns=observed_ns)
            await self.settle(follow)

    async def store(self, entries: Sequence[WalkEntry], follow: Follow) -> None:
        """Cut and store files; the followers take up each batch while the next one is cut."""
        if not entries:
            return
        started = time.perf_counter()
        stored = await _fetch_stored(self._database, self._task.target, {entry.stat.size for entry in entries})
        by_path = {entry.path: entry for entry in entries}
        orphans = await self._store_through(entries, stored, follow)
        if orphans:
            # Their content was collected between our look and our transaction: cut them after all.
            await self._store_through([by_path[file.path] for file in orphans], {}, follow)
        self._clock.parse = time.perf_counter() - started

    async def store_outrun(self, follow: Follow) -> None:
        """Walk again for files that were read before somebody purged documents: by now they may be gone, or ignored."""
        while self._outrun:
            outrun, self._outrun = self._outrun, set()
            entries = await asyncio.to_thread(_walk, self._task, WalkReport())
            await self.store([entry for entry in entries if entry.path in outrun], follow)

    async def remove(self, documents: Sequence[KnownDocument], *, observed_ns: int) -> None:
        """Give tombstones to documents whose files are gone."""
        target = self._task.target
        for start in range(0, len(documents), _BATCH_FILES):
            batch = documents[start : start + _BATCH_FILES]
            self.counts.removed += await remove_documents(
                self._database,
                project_id=target.project_id,
                collection_id=target.collection_id,
                documents=[(known.document_id, known.version_id) for known in batch if known.version_id is not None],
                observed_ns=observed_ns,
            )

    async def settle(self, follow: Follow) -> None:
        """Let the lexical index catch up with everything stored, and wait for it."""
        started = time.perf_counter()
        self._report("lexical", 0, 0)
        await follow(True)
        self._clock.lexical += time.perf_counter() - started

    async def note_end(self, walked: WalkReport) -> None:
        """Note that the run has ended, and what it left out."""
        target = self._task.target
        if not self._task.subpath and self._task.parts in ((), ("",)):
            report = {"skipped": _skip_counts(walked), "failed": len(self.failed)}
            await self._database.execute(queries["finish_scan"], target.bound(report=Jsonb(report)))
        await self._database.execute(queries["mark_indexed"], target.bound())

    async def _store_through(
        self, entries: Sequence[WalkEntry], stored: dict[int, frozenset[StoredContent]], follow: Follow
    ) -> list[PreparedFile]:
        orphans: list[PreparedFile] = []
        nothing: frozenset[StoredContent] = frozenset()
        job = ParseJob(
            root=self._task.root,
            options=self._task.options,
            stored=lambda entry: stored.get(entry.stat.size, nothing),
            workers=self._task.workers,
            spare=self._spare,
        )
        batch = _PendingBatch()
        follower = _Follower(follow, self._clock)
        async with follower, aclosing(prepare_files(job, entries)) as prepared:
            done = 0
            async for file in prepared:
                done += 1
                self._report("index", done, len(entries))
                if isinstance(file, UnreadableFile):
                    self._note_unreadable(file)
                    continue
                if file.note:
                    self.notices.append(FailedFile(file.path, file.note))
                batch.add(file)
                if batch.is_full:
                    orphans += await self._commit(batch, follower)
            orphans += await self._commit(batch, follower)
        return orphans

    async def _commit(self, batch: _PendingBatch, follower: _Follower) -> list[PreparedFile]:
        files = batch.take()
        if not files:
            return []
        started = time.perf_counter()
        left = await store_files(self._database, self._task.target, files, self.counts)
        self._clock.store += time.perf_counter() - started
        self._outrun.update(file.path for file in left.outrun)
        follower.wake()
        return left.orphans

    def _note_unreadable(self, file: UnreadableFile) -> None:
        if file.reason == ROOT_GONE:
            raise RootMissingError(path=self._task.root_text)
        self.left_out.append(file.path)
        (self.failed if file.reason in FAILURES else self.notices).append(FailedFile(file.path, file.sentence))


class _PendingBatch:
    """Files that wait for the next transaction."""

    def __init__(self) -> None:
        self._files: list[PreparedFile] = []
        self._chunks = 0
        self._bytes = 0

    def add(self, file: PreparedFile) -> None:
        self._files.append(file)
        self._chunks += len(file.chunks)
        self._bytes += file.size_bytes

    @property
    def is_full(self) -> bool:
        return self._chunks >= _BATCH_CHUNKS or len(self._files) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES

    def take(self) -> list[PreparedFile]:
        files, self._files, self._chunks, self._bytes = self._files, [], 0, 0
        return files


class _Follower:
    """Lets the followers work beside the storing: one at a time, woken by every batch, its failure is the run's."""

    def __init__(self, follow: Follow, clock: _Clock) -> None:
        self._follow = follow
        self._clock = clock
        self._news = asyncio.Event()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="skep-follow")
        return self

    async def __aexit__(self, *_: object) -> None:
        # Never cancelled in the middle: its thread would go on writing with nobody watching it.
        self._ended = True
        self._news.set()
        if self._task is not None:
            await self._task

    def wake(self) -> None:
        self._news.set()

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            if self._ended:
                return
            self._news.clear()
            started = time.perf_counter()
            await self._follow(False)
            self._clock.lexical += time.perf_counter() - started


async def _fetch_known(database: Database, task: IndexTask) -> dict[str, KnownDocument]:
    if task.parts and task.parts != ("",):
        rows = await database.fetch_tuples(queries["fetch_known_parts"], task.target.bound(parts=list(task.parts)))
    else:
        rows = await database.fetch_tuples(queries["fetch_known_documents"], task.target.bound(subpath=task.subpath))
    return {
        path: KnownDocument(document_id, path, FileStat(size, mtime, ctime, inode), observed_ns, version_id, chunker)
        for document_id, path, size, mtime, ctime, inode, observed_ns, version_id, chunker in rows
    }


async def _fetch_stored(
    database: Database, target: Target, sizes: Collection[int]
) -> dict[int, frozenset[StoredContent]]:
    # Only the sizes we are about to read: for one changed file everything else would cost more than the file.
    bound = target.bound(sizes=list(sizes), limit=_STORED_LIMIT)
    rows = await database.fetch_tuples(queries["fetch_stored_contents"], bound)
    by_size: dict[int, set[StoredContent]] = {}
    for size, sha256, language in rows:
        by_size.setdefault(size, set()).add((sha256, language))
    return {size: frozenset(contents) for size, contents in by_size.items()}


async def _count_chunks(database: Database, target: Target) -> int:
    rows = await database.fetch_tuples(queries["count_chunks"], target.bound())
    return int(rows[0][0])


def _walk(task: IndexTask, walked: WalkReport) -> list[WalkEntry]:
    return [
        entry
        for subpath in task.parts or (task.subpath,)
        for entry in walk(task.root, task.options, subpath=subpath, report=walked)
    ]


def _check_subpath(task: IndexTask) -> None:
    path = os.path.join(task.root, decode_path(task.subpath))
    if not os.path.lexists(path):
        raise RootMissingError(path=encode_path(path))


def _unknown_folders(walked: WalkReport) -> tuple[str, ...]:
    return tuple(skipped.path for skipped in walked.skipped if skipped.folder)


def _as_failed(skipped: Skipped) -> FailedFile:
    return FailedFile(skipped.path, skipped.detail or str(skipped.reason))


def _skip_counts(walked: WalkReport) -> dict[str, int]:
    counts = Counter(str(skipped.reason) for skipped in walked.skipped)
    counts["ignored"] = walked.ignored_files + walked.ignored_folders
    counts["default"] = sum(walked.default_folders.values())
    counts["link"] = walked.links
    return {reason: count for reason, count in sorted(counts.items()) if count}
