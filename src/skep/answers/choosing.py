"""Which passages answer best, and which of their words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skep.answers.units import Unit, units_of, widened
from skep.answers.words import content_words, coverage
from skep.knowledge import SearchResult

Similarities = Callable[[Sequence[str]], Sequence[float]]
"""The cosine of each text to the question, from -1 to 1."""

_READ_CLOSELY = 8
"""So many passages, the best by their whole texts, are looked through sentence by sentence."""

_RANK_HALF = 4.0
"""After so many places the search's own order counts half."""

_PLACE, _MEANING, _WORDS = 0.25, 0.45, 0.30
"""What a passage's place in the search, its nearest sentence's meaning and its words count."""

_CODE_SHARE = 0.85
"""Of code beside prose, for a question in words: code seldom says how and why."""

_UNHEARD = 0.3
"""By so much less is believed where none of the question's words stands in anything that was found: most likely nobody wrote of it."""

LEAST_RELEVANCE = 0.40
LEAST_BY_WORDS = 0.66
"""Below, nothing fits: by meaning and words together, and by words alone. Measured in `bench/answers`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that was found; ``place`` counts from 0 among those of its search."""

    result: SearchResult
    place: int

    @property
    def said(self) -> str:
        """Its text with what stands above it."""
        result = self.result
        return f"{result.path.replace('/', ' ').replace('-', ' ')} {result.heading or ''} {result.symbol or ''} {result.text}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A quote, and how well its passage fits."""

    result: SearchResult
    unit: Unit
    relevance: float
    score: float


def choose(
    question: str, candidates: Sequence[Candidate], similarities: Similarities | None, most: int
) -> list[Chosen]:
    """The best quotes, best first, one from each document while others are left; empty when nothing fits.

    Without ``similarities`` words alone decide.
    """
    wanted = content_words(question)
    unheard = 1 - coverage(wanted, " ".join(each.said for each in candidates))
    first = sorted(
        ((_score(each, coverage(wanted, each.said), None), each) for each in candidates),
        key=lambda pair: -pair[0],
    )
    found = _quoted(wanted, [each for _, each in first[:_READ_CLOSELY]], similarities)
    least = (LEAST_BY_WORDS if similarities is None else LEAST_RELEVANCE) / (1 - _UNHEARD * unheard)
    fitting = sorted((each for each in found if each.relevance >= least), key=lambda each: -each.score)
    best = list({each.result.path: each for each in reversed(fitting)}.values())
    best.sort(key=lambda each: -each.score)
    more = [each for each in fitting if each not in best]
    return (best + more)[:most]


def _quoted(wanted: Sequence[str], candidates: Sequence[Candidate], similarities: Similarities | None) -> list[Chosen]:
    units = [units_of(each.result.text, each.result.kind) for each in candidates]
    texts = [unit.text for of_one in units for unit in of_one]
    near = None if similarities is None or not texts else similarities(texts)
    found, at = [], 0
    for candidate, of_one in zip(candidates, units, strict=True):
        own = None if near is None else near[at : at + len(of_one)]
        at += len(of_one)
        if of_one:
            found.append(_best_of(wanted, candidate, of_one, own))
    return found


def _best_of(
    wanted: Sequence[str], candidate: Candidate, units: Sequence[Unit], near: Sequence[float] | None
) -> Chosen:
    words = [coverage(wanted, unit.text) for unit in units]
    weights = words if near is None else [0.65 * near[each] + 0.35 * words[each] for each in range(len(units))]
    best = max(range(len(units)), key=weights.__getitem__)
    whole = coverage(wanted, candidate.said)
    meaning = None if near is None else near[best]
    relevance = whole if meaning is None else 0.5 * max(0.0, meaning) + 0.5 * whole
    return Chosen(candidate.result, widened(units, best), relevance, _score(candidate, whole, meaning))


def _score(candidate: Candidate, words: float, meaning: float | None) -> float:
    place = 1 / (1 + candidate.place / _RANK_HALF)
    value = _PLACE * place + _WORDS * words + _MEANING * (words if meaning is None else max(0.0, meaning))
    return value * (_CODE_SHARE if candidate.result.kind == "code" else 1.0)
