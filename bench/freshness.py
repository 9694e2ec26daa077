"""How soon an edit is searchable: a line is added to a file, and the running server is asked until it finds it.

    python -m bench.freshness [--cache FOLDER] [--edits N] [--save]

`skep up` watches a folder of 1,000 files, then one of 10,000. Each edit adds a line with a word that stands nowhere else; the
time runs from the end of the write until an answer of the server has the line (asked every 10 ms). Edits come at random
moments, 50 to 250 ms after the one before was found. *busy*: the same while 16 clients search in closed loops. *burst*: 5,000 of the files change at once, as when a branch is switched;
the time runs from the last write until the last file is found. *idle*: processor time of the watcher while nothing changes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench.clients import HttpBackend, HttpClient, http_backend
from bench.corpus import Corpus, make_corpus
from bench.processes import CommandError, Skep, descendants
from bench.results import Collector, Figure, add_options, finish, options_of
from bench.searching import TOP_K, Latencies, load_questions

EDITS = 120
GOAL_MS = 300.0
_SIZES = (1_000, 10_000)
_BURST_FILES = 5_000
_ASK_SECONDS = 0.01
_PATIENCE_SECONDS = 120.0
_IDLE_SECONDS = 10.0
_CLIENTS = 16
_VOWELS, _CONSONANTS = "aeiou", "bdfgklmnprstvz"


def new_word(chance: random.Random) -> str:
    """A word that stands nowhere and has no part in common with another."""
    return "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(9))


@contextmanager
def part_of(corpus: Corpus, files: int) -> Iterator[Path]:
    """The first files of the corpus, copied to a folder of their own with room beside it."""
    with TemporaryDirectory(dir=corpus.folder.parent, prefix="run-") as work:
        copy = Path(work, "corpus")
        found = sorted(path for path in corpus.folder.rglob("*") if path.is_file())
        for path in found[:files]:
            target = copy / path.relative_to(corpus.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield copy


async def until_found(client: HttpClient, word: str) -> None:
    """Ask until the word is found. Raises CommandError when it is not for long."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        answer = await client.call("POST", "/api/v1/search", {"query": word, "top_k": 3})
        if any(word in result["text"] for result in answer["results"]):
            return
        if time.monotonic() > deadline:
            raise CommandError(f"an edit was not found within {_PATIENCE_SECONDS:g} s")
        await asyncio.sleep(_ASK_SECONDS)


def add_line(path: Path, word: str) -> None:
    """One more line, as an editor that writes in place does it."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n# {word}\n")


def modules_of(folder: Path) -> list[Path]:
    """What is edited."""
    return sorted(folder.rglob("*.py"))


async def measure_edits(client: HttpClient, folder: Path, edits: int, chance: random.Random) -> Latencies:
    """Milliseconds from a write until it is found."""
    files = modules_of(folder)
    times = []
    for number in range(edits + 1):
        path, word = chance.choice(files), new_word(chance)
        add_line(path, word)
        started = time.perf_counter()
        await until_found(client, word)
        if number:  # with the first one the watcher has caught up and started its parser
            times.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(chance.uniform(0.05, 0.25))
    return Latencies(tuple(times))


async def measure_busy(
    backend: HttpBackend, client: HttpClient, folder: Path, edits: int, chance: random.Random
) -> Latencies:
    """`measure_edits` while others search."""
    questions = load_questions(None)

    async def ask() -> None:
        other = await backend.client()
        while True:
            await other.search(chance.choice(questions), TOP_K)

    others = [asyncio.create_task(ask()) for _ in range(_CLIENTS)]
    try:
        return await measure_edits(client, folder, edits, chance)
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def measure_burst(client: HttpClient, folder: Path, chance: random.Random) -> float:
    """Seconds from the last write of many until the last of them is found."""
    word = new_word(chance)
    files = modules_of(folder)[:_BURST_FILES]
    for path in files:
        add_line(path, f"{word}{'x' if path == files[-1] else ''}")
    started = time.perf_counter()
    await until_found(client, f"{word}x")
    return time.perf_counter() - started


def watcher_seconds() -> float:
    """Processor time of the watcher of the server that this benchmark has started."""
    watchers = [process for process in descendants() if '"role": "watcher"' in " ".join(process.cmdline())]
    return sum(sum(psutil.Process(watcher.pid).cpu_times()[:2]) for watcher in watchers)


async def measure_idle() -> float:
    """Milliseconds of processor time that the watcher takes each second while nothing changes."""
    await asyncio.sleep(2.0)
    before = watcher_seconds()
    await asyncio.sleep(_IDLE_SECONDS)
    return (watcher_seconds() - before) / _IDLE_SECONDS * 1000


async def measure_folder(backend: HttpBackend, folder: Path, files: int, edits: int, collector: Collector) -> None:
    """The figures of one folder."""
    chance = random.Random(os.urandom(8))
    client = await backend.client()
    times = await measure_edits(client, folder, edits, chance)
    for name, share, goal in (("p50", 0.5, None), ("p95", 0.95, GOAL_MS), ("max", 1.0, None)):
        collector.add(
            Figure(
                f"freshness.files_{files}_{name}_ms",
                f"Edit to searchable, {files:,} files, {edits} edits: {name}",
                "ms",
                "less",
                (times.percentile(share),),
                goal=goal,
            )
        )
    busy = await measure_busy(backend, client, folder, edits // 4, chance)
    title = f"The same while {_CLIENTS} clients search: p95"
    name = f"freshness.files_{files}_busy_p95_ms"
    collector.add(Figure(name, title, "ms", "less", (busy.percentile(0.95),)))
    title = f"Watcher while nothing changes, {files:,} files: processor time each second"
    collector.add(Figure(f"freshness.files_{files}_idle_ms", title, "ms", "less", (await measure_idle(),)))
    if files > _BURST_FILES:
        seconds = await measure_burst(client, folder, chance)
        title = f"{_BURST_FILES:,} files changed at once: last write to all searchable"
        collector.add(Figure("freshness.burst_seconds", title, "s", "less", (seconds,)))
    client.close()


def measure(corpus: Corpus, edits: int, collector: Collector) -> None:
    """Take all figures of this script."""
    for files in _SIZES:
        with part_of(corpus, files) as folder, Skep(folder.parent / "skep", watch=True) as skep:
            skep.run("index", str(folder), "--json")
            asyncio.run(_measure(skep, folder, files, edits, collector))


async def _measure(skep: Skep, folder: Path, files: int, edits: int, collector: Collector) -> None:
    async with http_backend(skep) as backend:
        await measure_folder(backend, folder, files, edits, collector)


def main() -> None:
    """Run it alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=1)
    parser.add_argument("--edits", type=int, default=EDITS, help=f"edits of each folder (default: {EDITS})")
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    measure(make_corpus(options.cache), parsed.edits, collector)
    finish(collector, options)


if __name__ == "__main__":
    main()
