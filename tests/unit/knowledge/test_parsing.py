"""Cutting in child processes, seen from the parent. (Files that hurt the child are in the integration tests.)"""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from skep.knowledge.parse_worker import read_frame, write_frame
from skep.knowledge.parsing import ParseJob, Prepared, _batches, default_workers, prepare_files
from skep.knowledge.preparing import PreparedFile
from skep.knowledge.walking import FileStat, WalkEntry, WalkOptions, walk


def job_for(root: Path, workers: int = 2) -> ParseJob:
    return ParseJob(str(root).encode(), WalkOptions(), lambda entry: frozenset(), workers)


async def cut(root: Path, workers: int = 2) -> list[Prepared]:
    async with aclosing(prepare_files(job_for(root, workers), list(walk(root)))) as results:
        return [result async for result in results]


def children() -> list[psutil.Process]:
    return psutil.Process().children()


@pytest.mark.parametrize("workers", [1, 3])
async def test_every_file_gives_one_result_and_no_child_is_left(tmp_path: Path, workers: int) -> None:
    for number in range(70):
        (tmp_path / f"f{number}.py").write_text(f"def heron_{number}(): pass\n")
    results = await cut(tmp_path, workers)
    assert sorted(result.path for result in results) == sorted(f"f{number}.py" for number in range(70))
    assert all(isinstance(result, PreparedFile) for result in results)
    assert children() == []


async def test_nothing_to_cut_starts_nothing(tmp_path: Path) -> None:
    assert await cut(tmp_path) == []


async def test_who_stops_listening_early_ends_the_children_and_keeps_their_own_error(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"f{number}.py").write_text("def heron(): pass\n" * 50)
    with pytest.raises(LookupError, match="the consumer's own"):
        await fail_at_the_first(tmp_path)
    assert children() == []


async def fail_at_the_first(root: Path) -> None:
    async with aclosing(prepare_files(job_for(root), list(walk(root)))) as results:
        async for _ in results:
            raise LookupError("the consumer's own")


async def test_cancelling_ends_the_children(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"f{number}.py").write_text("def heron(): pass\n" * 50)
    task = asyncio.create_task(cut(tmp_path))
    while not children():  # noqa: ASYNC110 -- no event tells of a process
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


def entries(*sizes: int) -> list[WalkEntry]:
    return [WalkEntry(str(number), b"", FileStat(size, 0, 0, 0)) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([], []),
        ([1], [1]),
        ([1] * 33, [32, 1]),
        ([300_000, 1, 300_000], [1, 2]),
        ([100_000] * 4, [3, 1]),
    ],
)
def test_batches_are_bounded_in_files_and_bytes(sizes: list[int], lengths: list[int]) -> None:
    assert [len(batch) for batch in _batches(entries(*sizes))] == lengths


def test_frames_carry_plain_values_and_an_end() -> None:
    stream = io.BytesIO()
    values: list[object] = [(1, "a", b"b", None), [], {"a": (1.5, True)}]
    for value in values:
        write_frame(stream, value)
    stream.seek(0)
    assert [read_frame(stream) for _ in range(3)] == values
    with pytest.raises(EOFError):
        read_frame(stream)


def test_there_is_at_least_one_worker() -> None:
    assert default_workers() >= 1
