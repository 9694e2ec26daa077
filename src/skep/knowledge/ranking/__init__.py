"""Ranking: what a query means, and the rules that put what was found in order."""

from __future__ import annotations

from skep.knowledge.ranking.models import Passage, PassageKey, PathRole, Question, Ranked
from skep.knowledge.ranking.ordering import rank
from skep.knowledge.ranking.questions import analyze, is_symbol, mentions_in
from skep.knowledge.ranking.rules import RULES, Rule, Standing

__all__ = [
    "RULES",
    "Passage",
    "PassageKey",
    "PathRole",
    "Question",
    "Ranked",
    "Rule",
    "Standing",
    "analyze",
    "is_symbol",
    "mentions_in",
    "rank",
]
