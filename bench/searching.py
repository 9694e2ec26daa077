"""How fast search answers at 100,000 passages: as a command, in the server with one client, and with 16 while indexing.

    python -m bench.searching [--cache FOLDER] [--retrieval FOLDER] [--repeat N] [--no-peer] [--save]

The questions are those of ``questions.txt``, and with ``--retrieval`` those of the annotations there. Each round asks all of
them, after one round that is not timed. *server*: HTTP/1.1 on one kept connection per client, answers read to the end and
parsed. *engine*: the same call in one process, without HTTP. *while indexing*: 16 clients that each ask again as soon as
they have an answer, while a job takes up that a quarter of the files has changed. The peer is semble's `search` in its own
process, without HTTP, on its index of the same files.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shutil
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.clients import Backend, Client, http_backend, local_backend
from bench.corpus import make_corpus
from bench.indexing import private_copy, touch_content
from bench.processes import Skep
from bench.results import Collector, Figure, Options, add_options, finish, options_of
from bench.semble_command import Semble

TOP_K = 10
COLLECTION = "corpus"
CLIENTS = 16
_COMMANDS = 20
"""Searches as a fresh process; each takes as long as a hundred in the server."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of one round."""

    times: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """The smallest time that ``share`` of all do not exceed."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class UnderLoad:
    """What 16 clients saw while something else was done."""

    times: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0
    """That it took."""


def load_questions(retrieval: Path | None) -> list[str]:
    """All questions, in a fixed order."""
    lines = Path(__file__).with_name("questions.txt").read_text(encoding="utf-8").splitlines()
    questions = [line for line in lines if line and not line.startswith("#")]
    for path in sorted((retrieval / "annotations").glob("*.json")) if retrieval else []:
        questions += [item["query"] for item in json.loads(path.read_text(encoding="utf-8"))]
    return questions


async def ask_all(client: Client, questions: Sequence[str]) -> Latencies:
    """One question after the other."""
    times = []
    for question in questions:
        started = time.perf_counter()
        await client.search(question, TOP_K)
        times.append((time.perf_counter() - started) * 1000)
    return Latencies(tuple(times))


async def ask_rounds(backend: Backend, questions: Sequence[str], repeat: int) -> list[Latencies]:
    """Rounds of one client, without the first."""
    client = await backend.client()
    return [await ask_all(client, questions) for _ in range(repeat + 1)][1:]


async def ask_while(backend: Backend, questions: Sequence[str], work: Awaitable[object]) -> UnderLoad:
    """Clients in closed loops until the work has ended."""
    seen = UnderLoad()
    ended = asyncio.Event()

    async def loop(number: int) -> None:
        client = await backend.client()
        at = number * len(questions) // CLIENTS
        while not ended.is_set():
            started = time.perf_counter()
            try:
                await client.search(questions[at % len(questions)], TOP_K)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and shown
                seen.errors += 1
                print(f"  {type(error).__name__}: {error}")
                client = await backend.client()
            seen.times.append((time.perf_counter() - started) * 1000)
            at += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(loop(number))
        started = time.perf_counter()
        try:
            await work
        finally:
            ended.set()
        seen.seconds = time.perf_counter() - started
    return seen


def change_quarter(folder: Path) -> None:
    """Give every fourth file a new last line."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files[::4]:
        touch_content(path)


def measure_commands(skep: Skep, questions: Sequence[str], repeat: int, collector: Collector) -> None:
    """Fresh processes with the database up."""
    skep.run("search", questions[0], "--json")
    chosen = questions[:: max(1, len(questions) // _COMMANDS)][:_COMMANDS]
    seconds = tuple(skep.run("search", question, "--json").seconds for question in chosen)
    title = "`skep search` as a fresh process"
    collector.add(Figure("searching.command", title, "s", "less", seconds, goal=0.5))
    skep.run("--help")
    seconds = tuple(skep.run("--help").seconds for _ in range(max(5, repeat)))
    collector.add(Figure("searching.help", "`skep --help`", "s", "less", seconds, goal=0.2))


async def measure_backend(name: str, backend: Backend, questions: Sequence[str], repeat: int) -> list[Figure]:
    """p50 and p95 of one client."""
    rounds = await ask_rounds(backend, questions, repeat)
    label = {"server": "Server, one client", "engine": "In one process, without HTTP"}[name]
    goals: dict[str, tuple[float, float | None]] = {"p50": (0.5, 3.0), "p95": (0.95, 6.0), "p99": (0.99, None)}
    return [
        Figure(
            f"searching.{name}_{percentile}_ms",
            f"{label}: {percentile}",
            "ms",
            "less",
            tuple(each.percentile(share) for each in rounds),
            goal=goal if name == "server" else None,
        )
        for percentile, (share, goal) in goals.items()
    ]


async def measure_load(name: str, backend: Backend, questions: Sequence[str], folder: Path) -> list[Figure]:
    """16 clients while a quarter of the corpus is indexed anew."""
    change_quarter(folder)
    seen = await ask_while(backend, questions, backend.index(folder, COLLECTION))
    times = Latencies(tuple(seen.times))
    label = f"{'Server' if name == 'server' else 'In one process'}, {CLIENTS} clients while indexing"
    goals = (80.0, 0.0) if name == "server" else (None, None)
    rate = len(seen.times) / seen.seconds
    return [
        Figure(f"searching.{name}_load_p50_ms", f"{label}: p50", "ms", "less", (times.percentile(0.5),)),
        Figure(
            f"searching.{name}_load_p95_ms", f"{label}: p95", "ms", "less", (times.percentile(0.95),), goal=goals[0]
        ),
        Figure(f"searching.{name}_load_errors", f"{label}: errors", "errors", "less", (seen.errors,), goal=goals[1]),
        Figure(f"searching.{name}_load_rate", f"{label}: answers", "1/s", "more", (rate,)),
        Figure(f"searching.{name}_load_index", f"{label}: the job took", "s", "less", (seen.seconds,)),
    ]


def with_peer(figures: Sequence[Figure], facts: dict[str, Any] | None) -> list[Figure]:
    """The percentiles with semble's beside them."""
    if facts is None:
        return list(figures)
    theirs = Latencies(tuple(facts["search_ms"]))
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return [
        replace(figure, peer=theirs.percentile(shares[figure.name.split("_")[1]]), peer_name="semble in its process")
        for figure in figures
    ]


async def measure_answers(
    skep: Skep, questions: Sequence[str], folder: Path, repeat: int, facts: dict[str, Any] | None
) -> list[Figure]:
    """The figures of the engine and, as soon as there is a server, of the server."""
    figures: list[Figure] = []
    async with local_backend(skep.data_folder) as local:
        figures += with_peer(await measure_backend("engine", local, questions, repeat), facts)
        if importlib.util.find_spec("skep.cli.server_commands") is None:
            print("there is no server to measure yet")
            return figures + await measure_load("engine", local, questions, folder)
    async with http_backend(skep) as server:
        figures += with_peer(await measure_backend("server", server, questions, repeat), facts)
        figures += await measure_load("server", server, questions, folder)
    return figures


def measure(options: Options, questions: Sequence[str], collector: Collector) -> None:
    """Take all figures of this script."""
    corpus = make_corpus(options.cache)
    with private_copy(corpus) as folder:
        facts = None
        if options.peer:
            semble, index_cache = Semble(options.cache, options.peer_python), folder.parent / "semble"
            semble.search_command(folder, index_cache, workers=collector.machine.cores)
            facts = semble.inspect(folder, index_cache, questions, TOP_K)
            shutil.rmtree(index_cache)
        with Skep(folder.parent / "skep") as skep:
            skep.run("index", str(folder), "--collection", COLLECTION, "--json")
            measure_commands(skep, questions, options.repeat, collector)
            for figure in asyncio.run(measure_answers(skep, questions, folder, options.repeat, facts)):
                collector.add(figure)
    if facts is not None:
        theirs = median(facts["search_ms"])
        collector.add(Figure("searching.semble_p50_ms", "semble in its process: p50", "ms", "less", (theirs,)))


def main() -> None:
    """Take the figures, print them, and say what changed since they were kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=3)
    parser.add_argument("--retrieval", type=Path, help="folder with annotations of more questions")
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    measure(options, load_questions(parsed.retrieval), collector)
    finish(collector, options)


if __name__ == "__main__":
    main()
