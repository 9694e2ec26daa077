"""How fast and how frugal indexing is, against semble 0.7.0 on the same 10,000 files in the same run.

    python -m bench.indexing [--cache FOLDER] [--repeat N] [--no-peer] [--save]

Everything is timed as commands from outside. *cold*: `skep index` on a fresh data folder whose PostgreSQL is initialised
and running, until the process has ended and everything is durable and searchable; *cold with database*: the same with
nothing there at all. *nothing changed*, *one changed file*: the command again. For semble, `semble search` with one question
on the folder: it builds, answers, and keeps its index on the disk. Both read the same files; semble leaves out some (tiny ones
and unknown types), so speed is stated in MB of source that each engine really indexed, per second. Chunk sizes differ, which
is why chunks per second are told but not compared. semble runs as it comes (one process) and with a worker per core
(``SEMBLE_INDEX_WORKERS``), in turns with ours. Memory is the largest sum of proportional set sizes, sampled every 0.2 s
in a run of its own that is not timed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.corpus import Corpus, make_corpus
from bench.processes import MemoryWatch, Skep, database_processes, descendants
from bench.results import Better, Collector, Figure, finish, parse_options
from bench.semble_command import Semble

SPEED_GOAL = 0.8
SECONDS_PER_100K_GOAL = 50.0
UNCHANGED_GOAL_SECONDS = 1.5
ONE_FILE_GOAL_SECONDS = 0.5
MEMORY_GOAL_MB = 600.0

_CHANGED_FILES = ("django/django/utils/text.py", "sympy/sympy/core/basic.py", "grpcio/src/core/lib/iomgr/error.cc")
"""Files that get a new last line, one per repetition and command; others are taken when the corpus lacks one."""


@dataclass(slots=True)
class Samples:
    """Seconds of each kind of run, in the order taken."""

    cold: list[float] = field(default_factory=list)
    cold_with_database: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    one_file_in_folder: list[float] = field(default_factory=list)
    one_file_alone: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PeerSamples:
    """What semble needed."""

    files: int
    source_bytes: int
    chunks: int
    default: Samples
    workers: Samples


def measure_skep(folder: Path, work: Path, samples: Samples) -> dict[str, Any]:
    """One round of all kinds of runs; returns the report of the cold run."""
    with Skep(work / "skep-cold") as skep:
        samples.cold_with_database.append(skep.run("index", str(folder), "--json").seconds)
    shutil.rmtree(work / "skep-cold")
    with Skep(work / "skep") as skep:
        skep.run("status")
        cold = skep.run("index", str(folder), "--json")
        samples.cold.append(cold.seconds)
        samples.unchanged += [skep.run("index", str(folder), "--json").seconds for _ in range(3)]
        for changed in changed_files(folder):
            samples.one_file_in_folder.append(skep.run("index", str(folder), "--json").seconds)
            touch_content(changed)
            samples.one_file_alone.append(skep.run("index", str(changed), "--json").seconds)
    shutil.rmtree(work / "skep")
    return cold.json()


def measure_semble(semble: Semble, folder: Path, index_cache: Path, samples: Samples, workers: int) -> None:
    """The same round with the peer; its index stays in ``index_cache``."""
    shutil.rmtree(index_cache, ignore_errors=True)
    samples.cold.append(semble.search_command(folder, index_cache, workers=workers).seconds)
    samples.unchanged.append(semble.search_command(folder, index_cache, workers=workers).seconds)
    for _ in changed_files(folder, limit=1):
        samples.one_file_in_folder.append(semble.search_command(folder, index_cache, workers=workers).seconds)


def changed_files(folder: Path, limit: int = 3) -> Iterator[Path]:
    """Hand out files, each just after its content was changed."""
    found = [path for name in _CHANGED_FILES if (path := folder / name).exists()]
    found += sorted(folder.glob("django/django/*/*.py"))[: limit - len(found)]
    for path in found[:limit]:
        touch_content(path)
        yield path


def touch_content(path: Path) -> None:
    """Give a file one more line. The new content replaces the file, whose old one other folders may share."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(path.read_bytes() + b"\n# changed by a benchmark\n")
    draft.replace(path)


@contextmanager
def private_copy(corpus: Corpus) -> Iterator[Path]:
    """The corpus as hard links in a folder that may be changed, and room for data folders beside it."""
    with TemporaryDirectory(dir=corpus.folder.parent, prefix="run-") as work:
        copy = Path(work, "corpus")
        shutil.copytree(corpus.folder, copy, copy_function=os.link)
        yield copy


def measure_memory(folder: Path, work: Path) -> dict[str, int]:
    """The largest memory of commands with their workers, of the database, and of all at one moment; bytes."""
    with Skep(work / "skep-memory") as skep:
        skep.run("status")
        watch = MemoryWatch(
            {"commands": descendants, "database": lambda: database_processes(skep.data_folder)},
        )
        with watch:
            skep.run("index", str(folder), "--json")
    shutil.rmtree(work / "skep-memory")
    return watch.peaks


def measure(corpus: Corpus, semble: Semble | None, repeat: int, collector: Collector) -> None:
    """Take all figures of this script."""
    ours, default, workers = Samples(), Samples(), Samples()
    report: dict[str, Any] = {}
    peer: PeerSamples | None = None
    cores = collector.machine.cores
    for _ in range(repeat):
        # A fresh copy each time, so that every round starts from the same bytes.
        with private_copy(corpus) as folder:
            report = measure_skep(folder, folder.parent, ours)
        if semble is not None:
            with private_copy(corpus) as folder:
                measure_semble(semble, folder, folder.parent / "default", default, 0)
                facts = semble.inspect(folder, folder.parent / "default", [], 10)
                measure_semble(semble, folder, folder.parent / "workers", workers, cores)
                peer = PeerSamples(facts["files"], facts["source_bytes"], facts["chunks"], default, workers)
    with private_copy(corpus) as folder:
        memory = measure_memory(folder, folder.parent)
    _collect_speed(collector, corpus, report, ours, peer)
    _collect_changes(collector, ours, peer)
    _collect_memory(collector, memory)


def _collect_speed(
    collector: Collector, corpus: Corpus, report: dict[str, Any], ours: Samples, peer: PeerSamples | None
) -> None:
    chunks, files = int(report["chunks_total"]), int(report["files_seen"])
    megabytes = corpus.source_bytes / 1e6
    collector.add(Figure("corpus.files", "Files", "files", "more", (files,), goal=10_000))
    collector.add(Figure("corpus.chunks", "Passages as we cut them", "chunks", "more", (chunks,), goal=100_000))
    collector.add(Figure("corpus.source", "Source text", "MB", "more", (megabytes,)))
    _collect_rates(collector, "cold", "Skep", ours.cold, (files, chunks))
    with_database = tuple(ours.cold_with_database)
    title = "Skep: the same, with making and starting its database"
    collector.add(Figure("indexing.cold_with_database", title, "s", "less", with_database))
    per_100k = tuple(seconds / chunks * 100_000 for seconds in ours.cold)
    title = "Skep: per 100,000 passages"
    collector.add(Figure("indexing.cold_per_100k", title, "s", "less", per_100k, goal=SECONDS_PER_100K_GOAL))
    speed = Figure(
        "indexing.speed", "Skep: source text", "MB/s", "more", tuple(megabytes / seconds for seconds in ours.cold)
    )
    if peer is None:
        collector.add(speed)
        return
    for name, label, samples in (("default", "semble", peer.default), ("workers", "semble, parallel", peer.workers)):
        _collect_rates(collector, f"semble_{name}", label, samples.cold, (peer.files, peer.chunks))
        rate = peer.source_bytes / 1e6 / median(samples.cold)
        collector.add(
            replace(
                speed,
                name=f"indexing.speed_vs_{name}",
                peer=rate,
                peer_name=label,
                goal=SPEED_GOAL,
                goal_is_ratio=True,
            )
        )


def _collect_rates(
    collector: Collector, name: str, label: str, seconds: Sequence[float], counts: tuple[int, int]
) -> None:
    """From nothing to searchable, and what that is in the engine's own files and passages per second."""
    files, chunks = counts
    rows: tuple[tuple[str, str, str, Better, tuple[float, ...]], ...] = (
        ("seconds", "from nothing to searchable", "s", "less", tuple(seconds)),
        ("files", f"{files:,} files", "files/s", "more", tuple(files / each for each in seconds)),
        ("chunks", f"{chunks:,} passages of its own", "chunks/s", "more", tuple(chunks / each for each in seconds)),
    )
    for what, title, unit, better, samples in rows:
        collector.add(Figure(f"indexing.{name}_{what}", f"{label}: {title}", unit, better, samples))


def _collect_changes(collector: Collector, ours: Samples, peer: PeerSamples | None) -> None:
    rows = (
        ("unchanged", "Nothing changed", ours.unchanged, UNCHANGED_GOAL_SECONDS),
        ("one_file_in_folder", "One changed file, `skep index .`", ours.one_file_in_folder, ONE_FILE_GOAL_SECONDS),
        ("one_file_alone", "One changed file, `skep index FILE`", ours.one_file_alone, ONE_FILE_GOAL_SECONDS),
    )
    theirs: dict[str, list[float]] = {}
    if peer is not None:
        theirs = {"unchanged": peer.default.unchanged, "one_file_in_folder": peer.default.one_file_in_folder}
    for name, title, samples, goal in rows:
        figure = Figure(f"indexing.{name}", title, "s", "less", tuple(samples), goal=goal)
        if name in theirs:
            figure = replace(figure, peer=median(theirs[name]), peer_name="semble, with an answer")
        collector.add(figure)


def _collect_memory(collector: Collector, peaks: dict[str, int]) -> None:
    rows = (
        ("memory_total", "Memory at the peak, all our processes", "total", MEMORY_GOAL_MB),
        ("memory_commands", "of it the command and its parsers, at their peak", "commands", None),
        ("memory_database", "of it PostgreSQL, at its peak", "database", None),
    )
    for name, title, group, goal in rows:
        value = (peaks[group] / 1e6,)
        collector.add(Figure(f"indexing.{name}", title, "MB", "less", value, goal=goal))


def main() -> None:
    """Take the figures, print them, and say what changed since they were kept."""
    options = parse_options(__doc__, repeat=3)
    collector = Collector()
    corpus = make_corpus(options.cache)
    measure(corpus, Semble(options.cache, options.peer_python) if options.peer else None, options.repeat, collector)
    finish(collector, options)


if __name__ == "__main__":
    main()
