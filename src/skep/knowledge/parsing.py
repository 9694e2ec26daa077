"""Cutting many files at once: a few child processes, fed in batches, replaced when one dies or hangs.

Files come from anywhere, so none is ever cut in our own process, however few there are.
"""

from __future__ import annotations

import asyncio
import marshal
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from typing_extensions import override

from skep.children import PARSER, PARSER_NICENESS, Child, start_parser, take_early_parser
from skep.knowledge.interfaces import ParserStartError
from skep.knowledge.preparing import (
    PARSER_CRASHED,
    PARSER_TIMEOUT,
    PreparedFile,
    StoredContent,
    UnreadableFile,
    from_plain,
)
from skep.knowledge.walking import WalkEntry, WalkOptions

_BATCH_BYTES = 256 * 1024
"""Files are handed to a worker in batches of about this size, so that the pipe is not asked for every small file."""

_BATCH_FILES = 32
_FILE_TIMEOUT_SECONDS = 60.0
"""A file of at most a few MiB is cut in milliseconds; one that takes this long is hostile or the machine is stuck."""

_ENDING_SECONDS = 1.0
"""How long a worker that closed its output may take to end; only its last words depend on it."""

_QUEUED_RESULTS = 256
"""Cut files that wait to be stored, at most: bounds memory when the database is slower than the parsers."""

_RUNNER = PARSER

LookUpStored = Callable[[WalkEntry], frozenset[StoredContent]]
Prepared = PreparedFile | UnreadableFile


@dataclass(frozen=True, slots=True)
class ParseJob:
    """What to cut, and how."""

    root: bytes
    options: WalkOptions
    stored: LookUpStored
    """Contents that need no cutting, for a file of this size."""
    workers: int
    spare: SpareWorker | None = None
    """A worker that is starting already, for whoever needs one first."""


class SpareWorker:
    """A worker that starts while others still find out what there is to do; ended by `close` if nobody took it.

    Starting one takes as long as cutting 500 files, but on another core. A command that knew early that it would need one
    has started it already.
    """

    def __init__(self) -> None:
        self._starting: Child | None = None

    def begin(self) -> None:
        """Start it, without waiting. A refusal of the system shows when a worker is needed."""
        with suppress(ParserStartError):
            self._starting = take_early_parser() or _start_worker()

    def take(self) -> Child | None:
        """The worker, for the first who asks; None for others. Raises ParserStartError."""
        starting, self._starting = self._starting, None
        return starting

    def give_back(self, worker: Child) -> bool:  # noqa: ARG002 -- for those who keep it
        """Whether a worker that has nothing to do is kept here; if not, it is to be ended."""
        return False

    async def close(self) -> None:
        """End it if nobody took it."""
        untaken, self._starting = self._starting, None
        if untaken is not None:
            await untaken.end()


class KeptWorker(SpareWorker):
    """A worker that is kept from one job to the next: for one changed file its start would take longer than all else.

    It steps back no further than we do: it computes for moments, and somebody waits for what comes of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: Child | None = None

    @override
    def take(self) -> Child | None:
        kept, self._kept = self._kept, None
        if kept is not None and kept.exit_code is None:
            return kept
        return _start_worker(niceness=0)

    @override
    def give_back(self, worker: Child) -> bool:
        if self._kept is not None or worker.exit_code is not None:
            return False
        self._kept = worker
        return True

    @override
    async def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.end()


async def prepare_files(job: ParseJob, entries: Sequence[WalkEntry]) -> AsyncGenerator[Prepared, None]:
    """Cut every file; the order of results is not the order of entries. Each entry gives exactly one result.

    Close it (`aclosing`) to end the workers early. Raises ParserStartError when the system refuses a worker.
    """
    batches = iter(_batches(entries))
    results: asyncio.Queue[Prepared | None] = asyncio.Queue(_QUEUED_RESULTS)
    crew = [
        asyncio.create_task(_serve(job, batches, results), name=f"skep-parse-{number}")
        for number in range(max(1, job.workers))
    ]
    end = asyncio.create_task(_announce_end(crew, results), name="skep-parse-end")
    # No task group: one around a `yield` would cancel whoever consumes us, and hide why it stopped.
    try:
        while (result := await results.get()) is not None:
            yield result
        for task in crew:
            if task.done():
                task.result()
    finally:
        for task in (*crew, end):
            task.cancel()
        await asyncio.gather(*crew, end, return_exceptions=True)


async def _announce_end(crew: Iterable[asyncio.Task[None]], results: asyncio.Queue[Prepared | None]) -> None:
    await asyncio.wait(list(crew), return_when=asyncio.FIRST_EXCEPTION)
    await results.put(None)


async def _serve(job: ParseJob, batches: Iterable[list[WalkEntry]], results: asyncio.Queue[Prepared | None]) -> None:
    worker = _Worker(job)
    try:
        for batch in batches:
            remaining = batch
            while remaining:
                remaining = await worker.cut(remaining, results)
    finally:
        await worker.close()


class _Worker:
    """One child process, started when first needed and again after it died."""

    def __init__(self, job: ParseJob) -> None:
        self._job = job
        self._child: Child | None = None
        self._suspect: WalkEntry | None = None
        self._is_idle = False

    async def cut(self, batch: list[WalkEntry], results: asyncio.Queue[Prepared | None]) -> list[WalkEntry]:
        """Cut a batch; what comes back is still to do by a new process.

        A file under which a process dies or hangs is tried once more before it is reported: somebody may have killed
        the process, or stopped us all for a while.
        """
        request = [(entry.path, entry.raw, _plain_stat(entry), tuple(self._job.stored(entry))) for entry in batch]
        for position, entry in enumerate(batch):
            try:
                async with asyncio.timeout(_FILE_TIMEOUT_SECONDS):
                    if position == 0:
                        await self._send_request(request)
                    result = await self._receive_result()
            except (
                asyncio.IncompleteReadError,
                ConnectionError,
                TimeoutError,
                ValueError,
                EOFError,
                TypeError,
            ) as error:
                failure = await self._given_up(entry, hangs=isinstance(error, TimeoutError))
                if self._suspect is not entry:
                    self._suspect = entry
                    return batch[position:]
                await results.put(failure)
                return batch[position + 1 :]
            await results.put(result)
        self._is_idle = True
        return []

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        spare = self._job.spare
        if not (self._is_idle and spare is not None and spare.give_back(child)):
            await child.end()

    async def _given_up(self, entry: WalkEntry, *, hangs: bool) -> UnreadableFile:
        """End the process and say what it died of."""
        child = self._child
        if hangs or child is None:
            await self.close()
            return UnreadableFile(entry.path, PARSER_TIMEOUT, f"not cut within {_FILE_TIMEOUT_SECONDS:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_SECONDS):
                await child.wait()
        code = child.exit_code
        await self.close()
        if code is None:
            return UnreadableFile(entry.path, PARSER_CRASHED, "the process that cut it spoke nonsense")
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return UnreadableFile(entry.path, PARSER_CRASHED, f"the process that cut it ended with {cause}")

    async def _send_request(self, request: list[Any]) -> None:
        if self._child is None:
            spare = self._job.spare
            self._child = (spare.take() if spare is not None else None) or _start_worker()
        self._is_idle = False
        data = marshal.dumps((self._job.root, _plain_options(self._job.options), request))
        await self._child.send(len(data).to_bytes(4, "big") + data)

    async def _receive_result(self) -> Prepared:
        assert self._child is not None
        size = int.from_bytes(await self._child.receive(4), "big")
        # Plain values only, whoever wrote them; what is not a prepared file fails in `from_plain`.
        value: tuple[Any, ...] = marshal.loads(await self._child.receive(size))  # noqa: S302
        return from_plain(value)


def _start_worker(niceness: int = PARSER_NICENESS) -> Child:
    try:
        return start_parser(niceness, _RUNNER)
    except OSError as error:
        raise ParserStartError(reason=error.strerror or str(error)) from error


def _plain_stat(entry: WalkEntry) -> tuple[int, int, int, int]:
    stat = entry.stat
    return (stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode)


def _plain_options(options: WalkOptions) -> dict[str, Any]:
    # The data folder matters only to the walk, and a Path is no plain value.
    return asdict(replace(options, data_folder=None))


def _batches(entries: Iterable[WalkEntry]) -> Iterable[list[WalkEntry]]:
    batch: list[WalkEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.stat.size
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def default_workers() -> int:
    """As many parsers as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
