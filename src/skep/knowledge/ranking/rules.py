"""The ranking rules. Each is a pure function of how things stand (the question, the candidates, their scores so far) and
gives an amount to add, or a factor, for each passage it speaks of. :data:`RULES` is the order in which they are applied.

Amounts are relative to the best score by words alone, which is 1.0. Rules about code leave prose alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from skep.knowledge.lexical import definition_term
from skep.knowledge.ranking.models import Passage, PassageKey, PathRole, Question
from skep.knowledge.ranking.paths import path_facts, squeezed, starts_of

Candidates = Mapping[PassageKey, Passage]
Amounts = dict[PassageKey, float]


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand before a rule."""

    question: Question
    candidates: Candidates
    scores: Mapping[PassageKey, float]
    """For every candidate."""


FILE_COHERENCE = 0.4
"""Most that the best passage of a file can gain because many of its passages answer. semble 0.7.0 adds 0.2 over 50
candidates; over our 100 candidates 0.4 to 0.6 is a plateau on the development questions (+0.01 over 0.2)."""

FILE_COHERENCE_REST = 0.2
"""The same for the file's other passages, which semble leaves alone: with it the right passage of the right file is found
more often (737 passages, 248 questions: pass@10 +3 points), at no loss for the right file."""

DEFINITION = 3.0
"""For a passage that defines the symbol asked for. Source: semble 0.7.0."""

MENTION = 1.5
"""For a passage that defines an identifier mentioned in a sentence: half of the above. Source: semble 0.7.0."""

FILE_NAMED_AFTER_SYMBOL = 1.5
"""Factor on both when the file is named after the symbol. Source: semble 0.7.0."""

OTHER_CASE = 0.5
"""Factor on both when the definition differs in upper and lower case: ``session`` for ``Session``. Ours."""

PATH_WORDS = 1.0
"""For a file whose name and folder have all words of the question; in proportion for some. Source: semble 0.7.0; 0.5 to
1.0 is a plateau on the development questions."""

PENALTIES: dict[PathRole, float] = {
    "test": 0.3,
    "example": 0.3,
    "compat": 0.3,
    "reexport": 0.5,
    "declaration": 0.7,
    "benchmark": 0.3,
    "changelog": 0.3,
    "prose": 0.5,
    "config": 0.5,
}
"""Factors by role. The first five are semble 0.7.0's; benchmarks are like tests, and changelogs, prose and configuration
answer a question about code only when no code does. Ours."""

SATURATION = 0.5
"""Factor for the second passage of a file, once more for each further one. Source: semble 0.7.0. With vectors it finds the right
files better than 0.6 once for all (NDCG@10 0.891, not 0.884; architecture 0.858, not 0.849), and worse all passages of one
file (pass@10 77, not 85, when 737 passages are told by their files): those who want a file's rest can read it."""


def file_coherence(standing: Standing) -> Amounts:
    """A file many of whose passages answer is more likely the one: they gain by its sum, the best passage most."""
    sums: dict[str, float] = {}
    best: dict[str, PassageKey] = {}
    for key, score in standing.scores.items():
        path = standing.candidates[key].path
        sums[path] = sums.get(path, 0.0) + score
        if path not in best or score > standing.scores[best[path]]:
            best[path] = key
    highest = max(sums.values(), default=0.0)
    if not highest:
        return {}
    leaders = frozenset(best.values())
    return {
        key: (FILE_COHERENCE if key in leaders else FILE_COHERENCE_REST) * sums[passage.path] / highest
        for key, passage in standing.candidates.items()
    }


def _definition_factor(name: str, passage: Passage) -> float:
    """How well a passage defines ``name``: 0.0 not at all, 1.0 exactly, more when the file is named after it."""
    wanted = definition_term(name)
    last = wanted.rpartition(".")[2]
    factor = 0.0
    for defined in passage.defines:
        term = definition_term(defined)
        if term == wanted or term.endswith("." + wanted):
            same_case = defined.endswith(name[-len(last) :])
            factor = max(factor, 1.0 if same_case else OTHER_CASE)
    if not factor:
        return 0.0
    stem = path_facts(passage.path).stem
    named_after = squeezed(last) in {stem, stem.removesuffix("s")}
    return factor * FILE_NAMED_AFTER_SYMBOL if named_after else factor


def _definitions(names: tuple[str, ...], candidates: Candidates, amount: float) -> Amounts:
    amounts: Amounts = {}
    for key, passage in candidates.items():
        if not passage.defines:
            continue
        factor = sum(_definition_factor(name, passage) for name in names)
        if factor:
            amounts[key] = amount * factor
    return amounts


def definition(standing: Standing) -> Amounts:
    """The query is a name: what defines it comes first."""
    symbol = standing.question.symbol
    return _definitions((symbol,), standing.candidates, DEFINITION) if symbol else {}


def mention(standing: Standing) -> Amounts:
    """The question mentions identifiers: what defines them gains."""
    mentions = standing.question.mentions
    return _definitions(mentions, standing.candidates, MENTION) if mentions else {}


def path_words(standing: Standing) -> Amounts:
    """Words of the question in the file's name or folder: the gain is the share of the question's words found there."""
    wanted = standing.question.path_words
    if not wanted:
        return {}
    starts = [(word, starts_of(word)) for word in wanted]
    shares: dict[str, float] = {}
    for passage in standing.candidates.values():
        if passage.path not in shares:
            facts = path_facts(passage.path)
            shared = sum(word in facts.word_starts or not begun.isdisjoint(facts.words) for word, begun in starts)
            shares[passage.path] = PATH_WORDS * shared / len(wanted)
    return {key: share for key, passage in standing.candidates.items() if (share := shares[passage.path])}


_PROSE: frozenset[PathRole] = frozenset({"prose"})
_CONFIG: frozenset[PathRole] = frozenset({"config"})
_CHANGELOG: frozenset[PathRole] = frozenset({"changelog"})


def _roles_of(passage: Passage, beside_code: bool) -> frozenset[PathRole]:
    roles = path_facts(passage.path).roles
    if passage.kind == "code":
        return roles
    # Prose and configuration are held back only where code could have answered; rules about code do not apply to them.
    roles &= _CHANGELOG
    if not beside_code:
        return roles
    return roles | (_PROSE if passage.kind == "docs" else _CONFIG)


def path_penalties(standing: Standing) -> Amounts:
    """Factors for tests, examples and the like, except those the question asks for."""
    beside_code = any(passage.kind == "code" for passage in standing.candidates.values())
    factors: Amounts = {}
    for key, passage in standing.candidates.items():
        roles = _roles_of(passage, beside_code)
        if roles and (penalised := roles - standing.question.asks_for):
            factors[key] = math.prod(PENALTIES[role] for role in penalised)
    return factors


def saturation(standing: Standing) -> Amounts:
    """One file must not fill the page: all its passages but the best step back, each further than the one before."""
    seen: dict[str, int] = {}
    factors: Amounts = {}
    for key in sorted(standing.scores, key=standing.scores.__getitem__, reverse=True):
        path = standing.candidates[key].path
        before = seen.get(path, 0)
        if before:
            factors[key] = SATURATION**before
        seen[path] = before + 1
    return factors


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as ``--explain`` names it and as it is applied."""

    name: str
    operation: Literal["add", "multiply"]
    apply: Callable[[Standing], Amounts]


RULES: tuple[Rule, ...] = (
    Rule("file coherence", "add", file_coherence),
    Rule("definition", "add", definition),
    Rule("mentioned symbol", "add", mention),
    Rule("path words", "add", path_words),
    Rule("path penalties", "multiply", path_penalties),
    Rule("saturation", "multiply", saturation),
)
