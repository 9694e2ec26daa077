"""Vectors at 100,000 passages: the search by nearness alone, and the whole search with it, in the server and as a command.

    python -m bench.meanings [--cache FOLDER] [--retrieval FOLDER] [--repeat N] [--save]

The corpus is indexed, and every passage gets a vector: of its first 60 characters, embedded once and kept in the cache
folder, because whole passages would take half an hour. *bare query*: the nearest ten by the index alone, without passages, files or
filters, over the same connection in turns. Recall is counted against comparing every vector. *while embedding*: 16 clients
that each ask again as soon as they have an answer, while the embedder works on passages whose vectors were taken away.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from bench.clients import Backend, http_backend
from bench.corpus import Corpus, make_corpus
from bench.indexing import private_copy
from bench.processes import Skep
from bench.results import Collector, Figure, Options, add_options, finish, options_of
from bench.searching import CLIENTS, COLLECTION, TOP_K, Latencies, ask_rounds, ask_while, load_questions
from skep.access import Principal
from skep.app import Skep as Services
from skep.app import open_skep
from skep.knowledge.embedding import load_local_embedder
from skep.knowledge.embedding_passages import PassageEmbedder
from skep.knowledge.lexical import LexicalFilters
from skep.knowledge.vectors import VectorQuery, Vectors, vector_text
from skep.settings import CommandLine, load_settings

T = TypeVar("T")
CHARACTERS = 60
_LOAD_SECONDS = 30.0
_TAKEN_AWAY = 20_000
_COMMANDS = 15
_ROUNDING = 2e-4

_PASSAGES = b"""
select p.input_sha256, min(c.text), min(array[p.version_id, p.ordinal]) from placement p
join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256 group by p.input_sha256 order by p.input_sha256
"""
_FILL = b"""
insert into embedding (space_id, project_id, input_sha256, vector)
select %(space_id)s, %(project_id)s, t.input_sha256, t.vector::halfvec
from unnest(%(sha256s)b::bytea[], %(vectors)s::text[]) as t (input_sha256, vector)
"""
_INDEX_NAME = b"select indexname, indexdef from pg_indexes where tablename = %(table)s and indexdef like '%%hnsw%%'"
_TAKE_AWAY = b"""
delete from embedding where input_sha256 in (select input_sha256 from embedding limit %(count)s)
"""
_INCOMPLETE = b"update embedding_progress set complete_seq = -1"


def fragments(texts: Sequence[str], cache: Path) -> Any:  # noqa: ANN401 -- a matrix of numpy
    """A vector for the beginning of each text, from the cache if they are there."""
    numpy: Any = import_module("numpy")
    starts = [text[:CHARACTERS] for text in texts]
    embedder = load_local_embedder(threads=2)
    stamp = hashlib.sha256("\0".join([embedder.name, *starts]).encode()).hexdigest()[:16]
    path = cache / f"fragments-{stamp}.npy"
    if not path.exists():
        print(f"embedding the beginnings of {len(starts)} passages; this is done once")
        path.parent.mkdir(parents=True, exist_ok=True)
        numpy.save(path.with_suffix(".new.npy"), embedder.embed(starts).astype(numpy.float16))
        path.with_suffix(".new.npy").rename(path)
    return numpy.load(path).astype(numpy.float32)


async def fill(skep: Services, who: Principal, cache: Path) -> tuple[int, list[bytes], Any]:
    """Give every passage a vector: the space, and the keys with their vectors."""
    embedder = PassageEmbedder(load_local_embedder())
    rows = await skep.database.fetch_tuples(_PASSAGES)
    keys = [bytes(row[0]) for row in rows]
    vectors = await asyncio.to_thread(fragments, [row[1] for row in rows], cache)
    # Stored in the order in which the product embeds them: neighbours in the index then lie on the same pages.
    order = sorted(range(len(rows)), key=lambda place: rows[place][2])
    keys, vectors = [keys[place] for place in order], vectors[order]
    space_id = await Vectors(skep.database).open_space(who.project_id, embedder)
    async with skep.database.patient_connection() as connection:
        cursor = await connection.execute(_INDEX_NAME, {"table": f"embedding_{space_id}"})
        ((name, definition),) = await cursor.fetchall()
        # As building it at once is quicker than growing it by each row.
        await connection.execute(f"drop index {name}".encode())
        for start in range(0, len(keys), 5_000):
            part = slice(start, start + 5_000)
            bound = {"space_id": space_id, "project_id": who.project_id, "sha256s": keys[part]}
            bound["vectors"] = [vector_text(vector) for vector in vectors[part].tolist()]
            await connection.execute(_FILL, bound)
        await connection.execute(b"set maintenance_work_mem = '1GB'")
        started = time.perf_counter()
        await connection.execute(definition.encode())
        print(f"index over {len(keys)} vectors built in {time.perf_counter() - started:.0f} s")
        await connection.execute(b"vacuum analyze")
    ending = asyncio.Event()
    await skep.knowledge.embed(ending, until_done=True)
    return space_id, keys, vectors


async def timed(ask: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    """Milliseconds an answer took, and the answer."""
    started = time.perf_counter()
    answer = await ask()
    return (time.perf_counter() - started) * 1000, answer


async def measure_nearest(
    skep: Services, who: Principal, filled: tuple[int, list[bytes], Any], questions: Sequence[str], repeat: int
) -> list[Figure]:
    """Ours and the bare query in turns, and how many of the truly nearest ten ours finds."""
    numpy: Any = import_module("numpy")
    space_id, keys, vectors = filled
    wanted = load_local_embedder().embed(list(questions))
    found = Vectors(skep.database)
    ((collection_id,),) = await skep.database.fetch_tuples(b"select collection_id from collection")
    bare = (
        b"select input_sha256 from embedding where space_id = %(space_id)s"
        b" order by vector::halfvec(384) <#> %(vector)s::halfvec(384) limit 10"
    )
    ours_ms: list[list[float]] = []
    bare_ms: list[list[float]] = []
    recalls: list[float] = []
    for turn in range(repeat + 1):
        ours_ms.append([])
        bare_ms.append([])
        for vector in wanted:
            query = VectorQuery(space_id, vector.tolist(), [collection_id], len(keys), LexicalFilters(), TOP_K)
            bound = {"space_id": space_id, "vector": vector_text(vector.tolist())}
            ask_ours = partial(found.nearest, who.project_id, query)
            ask_bare = partial(skep.database.fetch_tuples, bare, bound)
            # In turns: whoever comes second finds the pages warm.
            if len(ours_ms[-1]) % 2:
                took_ours, nearest = await timed(ask_ours)
                took_bare, _ = await timed(ask_bare)
            else:
                took_bare, _ = await timed(ask_bare)
                took_ours, nearest = await timed(ask_ours)
            ours_ms[-1].append(took_ours)
            bare_ms[-1].append(took_bare)
            if not turn:
                similarities = vectors @ vector
                least = float(numpy.partition(similarities, -TOP_K)[-TOP_K])
                # Stored with 16 bits: what is as near as the tenth up to that is one of the nearest.
                recalls.append(sum(one.similarity >= least - _ROUNDING for one in nearest.near[:TOP_K]) / TOP_K)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    figures = [
        Figure(
            f"meanings.nearest_{name}_ms",
            f"Nearest 10 of {len(keys):,} passages, 384 dimensions: {name}",
            "ms",
            "less",
            tuple(Latencies(tuple(times)).percentile(share) for times in ours_ms[1:]),
            goal=2.5 if name == "p99" else None,
            peer=median(Latencies(tuple(times)).percentile(share) for times in bare_ms[1:]),
            peer_name="bare query",
        )
        for name, share in shares.items()
    ]
    ratio = sum(map(sum, ours_ms[1:])) / sum(map(sum, bare_ms[1:]))
    return [
        *figures,
        Figure("meanings.nearest_times_bare", "Its time by the bare query's", "x", "less", (ratio,), goal=1.2),
        Figure(
            "meanings.recall_at_10", "Recall@10 of the index", "", "more", (sum(recalls) / len(recalls),), goal=0.99
        ),
    ]


async def ask_while_embedding(skep: Services, backend: Backend, questions: Sequence[str]) -> list[Figure]:
    """Clients in closed loops while the server's embedder works."""
    await skep.database.execute(_TAKE_AWAY, {"count": _TAKEN_AWAY})
    await skep.database.execute(_INCOMPLETE)
    before = await count_vectors(skep)
    seen = await ask_while(backend, questions, asyncio.sleep(_LOAD_SECONDS))
    embedded = (await count_vectors(skep) - before) / _LOAD_SECONDS
    latencies = Latencies(tuple(seen.times))
    label = f"Server, {CLIENTS} clients while embedding"
    return [
        Figure("meanings.load_p50_ms", f"{label}: p50", "ms", "less", (latencies.percentile(0.5),)),
        Figure("meanings.load_p95_ms", f"{label}: p95", "ms", "less", (latencies.percentile(0.95),), goal=100.0),
        Figure("meanings.load_errors", f"{label}: errors", "errors", "less", (seen.errors,), goal=0.0),
        Figure("meanings.load_rate", f"{label}: answers", "1/s", "more", (len(seen.times) / _LOAD_SECONDS,)),
        Figure("meanings.load_embedded", f"{label}: embedded meanwhile", "passages/s", "more", (embedded,)),
    ]


async def count_vectors(skep: Services) -> int:
    """Of all spaces."""
    ((count,),) = await skep.database.fetch_tuples(b"select count(*) from embedding")
    return int(count)


async def measure_server(skep: Skep, services: Services, questions: Sequence[str], repeat: int) -> list[Figure]:
    """One client, then 16 while embedding."""
    async with http_backend(skep) as backend:
        rounds = await ask_rounds(backend, questions, repeat)
        goals: dict[str, tuple[float, float | None]] = {"p50": (0.5, 6.0), "p95": (0.95, 15.0), "p99": (0.99, None)}
        figures = [
            Figure(
                f"meanings.server_{name}_ms",
                f"Words and meaning in the server, one client: {name}",
                "ms",
                "less",
                tuple(each.percentile(share) for each in rounds),
                goal=goal,
            )
            for name, (share, goal) in goals.items()
        ]
        return figures + await ask_while_embedding(services, backend, questions)


async def take(skep: Skep, options: Options, questions: Sequence[str], collector: Collector) -> None:
    """All figures on an indexed data folder."""
    settings = load_settings(CommandLine(None, {"data_folder": skep.data_folder}))
    async with open_skep(settings, notice=print, name="skep benchmark") as services:
        who = await services.local_principal()
        filled = await fill(services, who, options.cache)
        for figure in await measure_nearest(services, who, filled, questions, options.repeat):
            collector.add(figure)
        chosen = questions[:: max(1, len(questions) // _COMMANDS)][:_COMMANDS]
        skep.run("search", questions[0], "--json")
        seconds = tuple([skep.run("search", question, "--json").seconds for question in chosen])
        title = "`skep search` as a fresh process, words and meaning"
        collector.add(Figure("meanings.command", title, "s", "less", seconds, goal=0.7))
        for figure in await measure_server(skep, services, questions, options.repeat):
            collector.add(figure)


def measure(corpus: Corpus, options: Options, questions: Sequence[str], collector: Collector) -> None:
    """Take all figures of this script."""
    with private_copy(corpus) as folder:
        words = Skep(folder.parent / "skep")
        words.run("index", str(folder), "--collection", COLLECTION, "--json")
        # As after any pause: the database takes memory by what it holds when it starts.
        words.run("down")
        with Skep(words.data_folder, embedding=True) as skep:
            asyncio.run(take(skep, options, questions, collector))


def main() -> None:
    """Take the figures, print them, and say what changed since they were kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=3)
    parser.add_argument("--retrieval", type=Path, help="folder with annotations of more questions")
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    measure(make_corpus(options.cache), options, load_questions(parsed.retrieval), collector)
    finish(collector, options)


if __name__ == "__main__":
    main()
