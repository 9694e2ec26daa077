"""Where scores start: what words say and what meanings say of a passage, put together by the kind of question. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skep.knowledge.ranking.models import PassageKey, Question

SHARES = (0.4, 1.0)
"""Of the start score of a passage, what its meaning decides, least and most; the rest is decided by its words. 0.3 and 0.5 give
0.005 less NDCG@10 on the development questions."""

CERTAIN = (0.65, 0.8)
"""Between these cosines of the nearest passage the share grows from the least to the most. Where something says nearly the
same as the question, its words are a distraction: on CoSQA (500 questions, the nearest at 0.70 in the median) every share of
BM25 costs, MRR 0.54 for vectors alone, 0.46 for halves, 0.33 for words alone. On questions about repositories (0.55) it is the
other way round: NDCG@10 0.75 for vectors alone, 0.88 for words alone, 0.90 for both. From 0.6 on, or with all of it at 0.75,
documentation and architecture lose more than CoSQA gains."""


@dataclass(frozen=True, slots=True)
class Fused:
    """The start score of a passage and what it is made of."""

    score: float
    words: float
    """The part that is from words; all of it when there are no vectors."""
    bm25: float
    cosine: float | None
    """None when it is not among the nearest."""


def fuse(
    question: Question,
    keys: Iterable[PassageKey],
    found: Mapping[PassageKey, float],
    near: Mapping[PassageKey, float],
) -> dict[PassageKey, Fused]:
    """BM25 relative to the best and cosine between the mean of the nearest and the very nearest, added up by a share.

    Only what stands out from the nearest is near: any two passages of code have a cosine of 0.2. The share of meaning is
    what the nearest passage earns. Scores and not ranks are put together: by ranks alone (reciprocal rank fusion, Cormack
    et al. 2009) a passage that is far better than all others looks like one that is hardly better (NDCG@10 0.87 instead of
    0.90). For a name, words decide alone.
    """
    keys = list(keys)
    best = max((found.get(key, 0.0) for key in keys), default=0.0) or 1.0
    nearest = max(near.values(), default=0.0)
    ordinary = sum(near.values()) / len(near) if near else 0.0
    share = _share(nearest) if near and question.symbol is None else 0.0
    fused = {}
    for key in keys:
        bm25, cosine = found.get(key, 0.0), near.get(key)
        words = (1.0 - share) * bm25 / best
        meaning = 0.0
        if cosine is not None:
            meaning = share * max(0.0, cosine - ordinary) / (nearest - ordinary) if nearest > ordinary else share
        fused[key] = Fused(words + meaning, words, bm25, cosine)
    return fused


def _share(nearest: float) -> float:
    (least, most), (start, end) = SHARES, CERTAIN
    return least + (most - least) * min(1.0, max(0.0, (nearest - start) / (end - start)))
