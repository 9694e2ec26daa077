"""Cutting many files at once: a few child processes, fed in batches, replaced when one dies or hangs."""

from __future__ import annotations

import asyncio
import marshal
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from skep.knowledge.preparing import (
    PARSER_CRASHED,
    PARSER_TIMEOUT,
    PreparedFile,
    StoredContent,
    UnreadableFile,
    from_plain,
    prepare_file,
)
from skep.knowledge.walking import WalkEntry, WalkOptions

_BATCH_BYTES = 256 * 1024
"""Files are handed to a worker in batches of about this size, so that the pipe is not asked for every small file."""

_BATCH_FILES = 32
_FILE_TIMEOUT_SECONDS = 60.0
"""A file of at most a few MiB is cut in milliseconds; one that takes this long is hostile or the machine is stuck."""

_INLINE_FILES = 12
_INLINE_BYTES = 512 * 1024
"""Up to this much is cut in our own process: starting a worker costs more than cutting that."""

_QUEUED_RESULTS = 256
"""Cut files that wait to be stored, at most: bounds memory when the database is slower than the parsers."""

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


async def prepare_files(job: ParseJob, entries: Sequence[WalkEntry]) -> AsyncGenerator[Prepared, None]:
    """Cut every file; the order of results is not the order of entries. Each entry gives exactly one result."""
    if len(entries) <= _INLINE_FILES and sum(entry.stat.size for entry in entries) <= _INLINE_BYTES:
        for entry in entries:
            yield await asyncio.to_thread(prepare_file, job.root, entry, job.options, job.stored(entry))
        return
    batches = iter(_batches(entries))
    results: asyncio.Queue[Prepared | None] = asyncio.Queue(_QUEUED_RESULTS)
    async with asyncio.TaskGroup() as tasks:
        crew = [
            tasks.create_task(_serve(job, batches, results), name=f"skep-parse-{number}")
            for number in range(max(1, job.workers))
        ]
        tasks.create_task(_announce_end(crew, results), name="skep-parse-end")
        try:
            while (result := await results.get()) is not None:
                yield result
        finally:
            for task in crew:
                task.cancel()


async def _announce_end(crew: Iterable[asyncio.Task[None]], results: asyncio.Queue[Prepared | None]) -> None:
    await asyncio.wait(list(crew))
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
        self._process: asyncio.subprocess.Process | None = None

    async def cut(self, batch: list[WalkEntry], results: asyncio.Queue[Prepared | None]) -> list[WalkEntry]:
        """Cut a batch; what comes back is still to do, after the file that killed the worker was reported."""
        process = await self._started()
        request = [(entry.path, entry.raw, _plain_stat(entry), tuple(self._job.stored(entry))) for entry in batch]
        for position, entry in enumerate(batch):
            try:
                async with asyncio.timeout(_FILE_TIMEOUT_SECONDS):
                    if position == 0:
                        await _send(process, request)
                    result = from_plain(await _receive(process))
            except (
                asyncio.IncompleteReadError,
                ConnectionError,
                TimeoutError,
                ValueError,
                EOFError,
                TypeError,
            ) as error:
                await self.close()
                reason = PARSER_TIMEOUT if isinstance(error, TimeoutError) else PARSER_CRASHED
                await results.put(UnreadableFile(entry.path, reason))
                return batch[position + 1 :]
            await results.put(result)
        return []

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "skep.knowledge.parse_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 20,
            )
            await _send(self._process, (self._job.root, _plain_options(self._job.options)))
        return self._process


async def _send(process: asyncio.subprocess.Process, value: Any) -> None:
    assert process.stdin is not None
    data = marshal.dumps(value)
    process.stdin.write(len(data).to_bytes(4, "big") + data)
    await process.stdin.drain()


async def _receive(process: asyncio.subprocess.Process) -> tuple[Any, ...]:
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(4), "big")
    value: tuple[Any, ...] = marshal.loads(await process.stdout.readexactly(size))
    return value


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
