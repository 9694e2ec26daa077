"""How often an answer that is given to a question in other words is an answer to it, and what looking for one costs.

    python -m bench.semantic_cache [--save]

`semantic_questions.txt` has the judged set, written by hand for this purpose: groups of five questions that ask the same, as
users put it (one answer serves all), and five that look alike and ask something else, with how they differ. It was written before the
rules of `skep.gateway.caching.senses`. Every other group was used while those and the threshold were made (the tuning half); the figures
are of the others, which were not. A pair counts as a hit if the product would answer the one from the other: the same sense, and
a cosine of at least the threshold. *Precision*: the share of hits that are right; of questions in one cache, asked in any order, as well.
*Recall*: the share of pairs that ask the same that are hits. *Vectors alone* is what others do: a hit is whatever is near enough, by the threshold
at which it finds as many in the tuning half. No threshold gives it the precision.

The threshold is the highest multiple of 0.05 that keeps 99 % of the right hits in the tuning half: what is wrong, the senses keep out.

The pairs of a group hang together, so Wilson's interval is a little narrow; the groups with a wrong hit are counted, too.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import orjson
from typing_extensions import override

from bench.results import Collector, Figure, finish, parse_options
from skep.gateway.caching.clearings import Clearings
from skep.gateway.caching.entries import Entry, Question
from skep.gateway.caching.senses import sense_of
from skep.gateway.caching.service import AnswerCache
from skep.gateway.caching.similarity import Similarity
from skep.gateway.caching.stores import MemoryStore
from skep.gateway.caching.wordings import Put
from skep.gateway.configuring import MEASURED_SIMILARITY
from skep.gateway.models import Model, SemanticCache
from skep.gateway.requests import Known, read_request
from skep.knowledge.embedding import load_local_embedder
from skep.observe import NO_METRICS
from skep.store import Database

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUESTIONS = Path(__file__).parent / "semantic_questions.txt"
PRECISION_GOAL = 0.98
_ORDERS = 20
_LOOKUPS = 2_000


@dataclass(frozen=True, slots=True)
class Group:
    """Questions about one thing."""

    name: str
    same: tuple[str, ...]
    """They ask the same."""
    others: tuple[tuple[str, str], ...]
    """Each asks something else, after how it differs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and what is known of them."""

    group: str
    kind: str
    """How they differ; ``same`` where they ask the same."""
    is_same_sense: bool
    similarity: float

    def is_hit(self, threshold: float) -> bool:
        """Whether the product answers the one from the other."""
        return self.is_same_sense and self.similarity >= threshold


def read_groups(path: Path = QUESTIONS) -> list[Group]:
    """The judged set. Raises ValueError for a line that is none of it."""
    groups: list[tuple[str, list[str], list[tuple[str, str]]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, words = line.partition(" ")
        if mark == "##":
            groups.append((words, [], []))
        elif mark == "=":
            groups[-1][1].append(words)
        elif mark == "!":
            kind, _, question = words.partition(" | ")
            groups[-1][2].append((kind, question))
        elif line and mark != "#":
            raise ValueError(f"no line of the judged set: {line}")
    return [Group(name, tuple(same), tuple(others)) for name, same, others in groups]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The interval that has a share with 95 %: E. B. Wilson, 1927."""
    if of == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / of
    middle = share + z * z / (2 * of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


class Judged:
    """Some groups with the senses and vectors of their questions."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        texts = [text for group in groups for text in (*group.same, *(other for _, other in group.others))]
        self.senses = {text: sense_of(text) for text in texts}
        vectors = load_local_embedder().embed(texts)
        self.vectors: dict[str, NDArray[np.float32]] = dict(zip(texts, vectors, strict=True))
        self.pairs = list(self._pairs())

    def cosine(self, one: str, other: str) -> float:
        """Of two of the questions."""
        return float(self.vectors[one] @ self.vectors[other])

    def is_hit(self, one: str, other: str) -> bool:
        """Whether the product answers the one from the other."""
        sense = self.senses[one]
        return sense is not None and sense == self.senses[other] and self.cosine(one, other) >= MEASURED_SIMILARITY

    def _pairs(self) -> Iterator[Pair]:
        for group in self.groups:
            for one, other in combinations(group.same, 2):
                yield self._pair(group, "same", one, other)
            for kind, other in group.others:
                for one in group.same:
                    yield self._pair(group, kind, one, other)
        # What has nothing to do with each other: the first of a group with the first of each group behind it.
        for one_group, other_group in combinations(self.groups, 2):
            yield self._pair(one_group, "unrelated", one_group.same[0], other_group.same[0])

    def _pair(self, group: Group, kind: str, one: str, other: str) -> Pair:
        sense = self.senses[one]
        return Pair(group.name, kind, sense is not None and sense == self.senses[other], self.cosine(one, other))

    def in_one_cache(self, order: random.Random) -> tuple[int, int, int]:
        """How many of all questions, asked one after the other, are answered from the cache, rightly and wrongly, and how many could be."""
        asked = [(text, group.name) for group in self.groups for text in group.same]
        asked += [(text, text) for group in self.groups for _, text in group.others]
        order.shuffle(asked)
        kept: dict[str, tuple[str, str]] = {}
        right = wrong = could = 0
        seen: set[str] = set()
        for text, meaning in asked:
            could += meaning in seen
            seen.add(meaning)
            sense = self.senses[text]
            found = None if sense is None else kept.get(sense)
            if found is not None and self.is_hit(text, found[0]):
                right += found[1] == meaning
                wrong += found[1] != meaning
            elif sense is not None:
                kept[sense] = text, meaning
        return right, wrong, could


def threshold_for(pairs: Sequence[Pair], share: float) -> float:
    """From which cosine on vectors alone find such a share of the pairs that ask the same."""
    same = sorted((pair.similarity for pair in pairs if pair.kind == "same"), reverse=True)
    return same[min(len(same), max(1, round(share * len(same)))) - 1]


def judge(collector: Collector, tuning: Judged, held_out: Judged) -> None:
    """Precision and recall."""
    for name, judged in (("tuning half", tuning), ("held-out half", held_out)):
        print(f"\n{name}: {len(judged.groups)} groups, {len(judged.pairs)} pairs")
        by_kind = Counter(pair.kind for pair in judged.pairs if pair.is_hit(MEASURED_SIMILARITY))
        for kind, pairs in Counter(pair.kind for pair in judged.pairs).most_common():
            print(f"  {kind:10s} {by_kind[kind]:5d} hits of {pairs}")
    hits = [pair for pair in held_out.pairs if pair.is_hit(MEASURED_SIMILARITY)]
    right = sum(pair.kind == "same" for pair in hits)
    low, high = wilson(right, len(hits))
    same = sum(pair.kind == "same" for pair in held_out.pairs)
    others = len(held_out.pairs) - same
    wrong_groups = {pair.group for pair in hits if pair.kind != "same"}
    tuned = [pair for pair in tuning.pairs if pair.kind == "same"]
    alone = threshold_for(tuned, sum(pair.is_hit(MEASURED_SIMILARITY) for pair in tuned) / len(tuned))
    near = [pair for pair in held_out.pairs if pair.similarity >= alone]
    near_right = sum(pair.kind == "same" for pair in near)
    collector.add(
        Figure(
            name="semantic_cache.precision",
            title="Answers to questions in other words that are right",
            unit="",
            better="more",
            samples=(right / len(hits),),
            goal=PRECISION_GOAL,
            peer=near_right / len(near),
            peer_name=f"vectors alone from {alone:.3f} on",
            note=f"{right} of {len(hits)} hits, 95 % interval {low:.3f} to {high:.3f}, {len(wrong_groups)} of {len(held_out.groups)} groups"
            f" with a wrong one; {same} pairs that ask the same, {others} that do not; held out; threshold {MEASURED_SIMILARITY}",
        )
    )
    collector.add(
        Figure(
            name="semantic_cache.recall",
            title="Questions in other words that are answered from the cache",
            unit="",
            better="more",
            samples=(right / same,),
            peer=near_right / same,
            peer_name=f"vectors alone from {alone:.3f} on",
            note=f"{right} of {same} pairs that ask the same, held out",
        )
    )
    orders = [held_out.in_one_cache(random.Random(number)) for number in range(_ORDERS)]
    collector.add(
        Figure(
            name="semantic_cache.precision_in_one_cache",
            title="The same, where each question is asked once and all are in one cache",
            unit="",
            better="more",
            samples=tuple(right / (right + wrong) for right, wrong, _ in orders),
            goal=PRECISION_GOAL,
            note=f"{_ORDERS} orders; {median(right for right, _, _ in orders):.0f} right hits of {orders[0][2]} that could be",
        )
    )


class NothingCleared(Clearings):
    """Of a database that is not there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.installation = "bench"

    @override
    def epochs(self, project_id: int, names: object) -> dict[str, int]:
        return {}


def _model(*, semantic: bool) -> Model:
    # A second instead of 50 ms: what is measured shall not depend on what else the machine does.
    told = SemanticCache(similarity=MEASURED_SIMILARITY, wait_seconds=1.0) if semantic else None
    return Model(name="m", routes=(), cache_seconds=300, semantic_cache=told)


def _known(text: str) -> Known:
    body = {"model": "m", "messages": [{"role": "system", "content": "You help."}, {"role": "user", "content": text}]}
    return read_request("chat.completions", orjson.dumps(body))


async def _look_up(cache: AnswerCache, model: Model, texts: Sequence[str]) -> tuple[list[float], list[Question]]:
    """How long looking up takes, in microseconds each."""
    took, questions = [], []
    for text in texts:
        known = _known(text)
        began = time.perf_counter()
        question = cache.question(model, b"seed", known, 1, [(b"accept", b"*/*")])
        assert question is not None
        await cache.find(question)
        took.append((time.perf_counter() - began) * 1e6)
        questions.append(question)
    return took, questions


async def measure(collector: Collector) -> None:
    """What looking up takes."""
    similarity = Similarity(load_local_embedder())
    store = MemoryStore(1 << 26)
    cache = AnswerCache(store, NothingCleared(Database.__new__(Database)), NO_METRICS, similarity)
    plain, opted = _model(semantic=False), _model(semantic=True)
    questions: list[Question] = []
    misses = [f"How do I install package {number} on Linux?" for number in range(_LOOKUPS)]
    for name, title, model in (
        ("lookup_without", "Looking up an answer that is not there, of a model that has not opted in", plain),
        ("lookup_miss", "The same of one that has", opted),
    ):
        took, questions = await _look_up(cache, model, misses)
        _add_times(collector, name, title, took)
    for question in questions:
        assert question.wording is not None
        assert question.wording.asked is not None
        entry = Entry(b"{}", b"", False, b"application/json", "p", "m", 1, time.time(), {})
        await store.keep(question.key, entry, 300)
        put = Put(question.key, question.wording.asked.text, "call")
        await store.keep_put(question.wording.asked.key, put, 300)
    again = [f"Please tell me how to install the package {number} on Linux." for number in range(_LOOKUPS // 4)]
    took, questions = await _look_up(cache, opted, again)
    assert all(question.likeness is not None for question in questions)
    _add_times(collector, "lookup_hit", "Finding the answer to a question in other words, with both vectors", took)
    similarity.close()


def _add_times(collector: Collector, name: str, title: str, took: list[float]) -> None:
    for percent, value in ((50, median(took)), (99, quantiles(took, n=100)[98])):
        figure = Figure(
            name=f"semantic_cache.{name}_p{percent}",
            title=f"{title}, p{percent}",
            unit="us",
            better="less",
            samples=(value,),
            note=f"{len(took)} look-ups",
        )
        collector.add(figure)


def main() -> None:
    """See the module."""
    options = parse_options(__doc__, repeat=1)
    groups = read_groups()
    collector = Collector()
    judge(collector, Judged(groups[0::2]), Judged(groups[1::2]))
    asyncio.run(measure(collector))
    finish(collector, options)


if __name__ == "__main__":
    main()
