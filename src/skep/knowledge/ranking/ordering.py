"""Putting candidates in order."""

from __future__ import annotations

from collections.abc import Mapping

from skep.knowledge.lexical import LexicalHits
from skep.knowledge.models import ScoreStep
from skep.knowledge.ranking.fusion import Fused, fuse
from skep.knowledge.ranking.models import Passage, PassageKey, Question, Ranked
from skep.knowledge.ranking.rules import RULES, Amounts, Rule, Standing

_NOTHING: Mapping[PassageKey, float] = {}


def rank(
    question: Question,
    hits: LexicalHits,
    passages: Mapping[PassageKey, Passage],
    top_k: int,
    near: Mapping[PassageKey, float] = _NOTHING,
    *,
    explain: bool = True,
) -> list[Ranked]:
    """The best ``top_k`` of what was found, each with the steps that made its score if they are to be explained.

    ``passages`` describes what was found by version and ordinal; what it does not know is left out. ``near`` are the
    passages nearest by meaning, with their cosines. Scores start from both, see `fuse`; equal ones keep the order of
    version and ordinal, so that an answer can be repeated.
    """
    found = {(hit.version_id, hit.ordinal): hit.score for hit in (*hits.definitions, *hits.passages)}
    described = [key for key in sorted({*found, *near}) if key in passages]
    # Something is always the nearest; to a name that nobody wrote it is no answer.
    wanted = [key for key in described if key in found or question.symbol is None]
    fused = fuse(question, wanted, found, near)
    candidates = {key: passages[key] for key in fused}
    scores = {key: parts.score for key, parts in fused.items()}
    trail: list[tuple[Rule, Amounts]] = []
    for rule in RULES:
        amounts = rule.apply(Standing(question, candidates, scores))
        trail.append((rule, amounts))
        for key, amount in amounts.items():
            scores[key] = scores[key] + amount if rule.operation == "add" else scores[key] * amount
    order = sorted(scores, key=scores.__getitem__, reverse=True)[:top_k]
    return [Ranked(key[0], key[1], scores[key], _steps(key, fused[key], trail) if explain else ()) for key in order]


def _steps(key: PassageKey, fused: Fused, trail: list[tuple[Rule, Amounts]]) -> tuple[ScoreStep, ...]:
    steps = [ScoreStep(rule="words", effect=f"BM25 {fused.bm25:.2f}", score=fused.words)]
    score = fused.score
    if fused.cosine is not None:
        steps.append(ScoreStep(rule="meaning", effect=f"cosine {fused.cosine:.2f}", score=score))
    for rule, amounts in trail:
        amount = amounts.get(key)
        if amount is None:
            continue
        score = score + amount if rule.operation == "add" else score * amount
        sign = "+" if rule.operation == "add" else "\N{MULTIPLICATION SIGN}"
        steps.append(ScoreStep(rule=rule.name, effect=f"{sign}{amount:.2f}", score=score))
    return tuple(steps)
