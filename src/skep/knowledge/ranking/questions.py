"""Understanding a query: is it a name, does it mention names, what is it about, and what does it ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from skep.knowledge.lexical import stem, terms_of, words_of
from skep.knowledge.ranking.models import PathRole, Question

# A query that is one identifier, perhaps qualified, and cannot be an ordinary lower-case word. Source of the idea:
# semble 0.7.0, where plain words such as "session" count as language too.
_IDENTIFIER = r"\$?[^\W\d][\w$]*"
_SEPARATOR = r"(?:::|\\|->|\.|\#)"
_QUALIFIED = re.compile(rf"{_IDENTIFIER}(?:{_SEPARATOR}{_IDENTIFIER})+(?:\(\))?")
_UNUSUAL = re.compile(rf"(?=.*[A-Z_$]|.*\(\)){_IDENTIFIER}(?:\(\))?", re.DOTALL)

# Inside a sentence a capital alone says little (it may start the sentence), so a mention needs a second sign.
_MENTION = re.compile(
    r"[A-Z]+[a-z][a-z0-9]*[A-Z]\w*"  # PascalCase
    r"|[a-z][a-z0-9]*[A-Z]\w*"  # camelCase
    r"|[A-Z]{2,}[a-z]\w*"  # HTTPError
    r"|_*[^\W_]+(?:_[^\W_]+)+_*"  # snake_case
)

_ENGLISH = """
    a about after all also an and any are as at be been before being between but by can could did do does doing during
    each for from get gets given had has have how i if in inside into is it its me my of off on once or our should show
    so some such than that the their them then there these they this those to under until up us use used uses using via
    was we were what when where whether which while who whose why will with within without would you your
"""

STOP_WORDS = frozenset(_ENGLISH.split())
"""English words that say nothing about code. Questions only: the index keeps every word."""

_ASKS: dict[PathRole, frozenset[str]] = {
    "test": frozenset(
        {"test", "tests", "tested", "testing", "unittest", "pytest", "spec", "specs", "fixture", "fixtures"}
    ),
    "example": frozenset({"example", "examples", "sample", "samples", "demo", "demos", "tutorial", "tutorials"}),
    "benchmark": frozenset({"bench", "benchmark", "benchmarks", "benchmarking"}),
    "compat": frozenset({"compat", "compatibility", "compatible", "legacy", "deprecated", "deprecation", "backport"}),
    "reexport": frozenset({"export", "exports", "exported", "reexport", "init", "package"}),
    "declaration": frozenset({"declaration", "declarations", "typing", "typings", "stub", "stubs"}),
    "changelog": frozenset({"changelog", "history", "release", "released", "releases"}),
    "prose": frozenset({"docs", "documentation", "documented", "readme", "guide", "guides", "manual", "tutorial"}),
    "config": frozenset({"config", "configuration", "yaml", "toml", "manifest", "lockfile"}),
}
"""Words that switch a role's penalty off."""

MAX_MENTIONS = 20
"""Identifiers looked up for one question, each in the index and in every candidate; a pasted file has thousands."""

MAX_PATH_WORDS = 50
"""A question of more words names no file or folder: each would count next to nothing."""

_MIN_PATH_WORD_CHARS = 3


def is_symbol(query: str) -> bool:
    """Whether the whole query is a name: qualified, with a capital, an underscore or a call's brackets."""
    query = query.strip()
    return _QUALIFIED.fullmatch(query) is not None or _UNUSUAL.fullmatch(query) is not None


def mentions_in(query: str) -> tuple[str, ...]:
    """Identifiers inside a sentence, each once, in order; the first of very many."""
    found = (match[0] for match in re.finditer(r"[\w$]+", query) if _MENTION.fullmatch(match[0]))
    return tuple(islice(_each_once(found), MAX_MENTIONS))


def _each_once(words: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for word in words:
        if word not in seen:
            seen.add(word)
            yield word


def _asks_for(words: Iterable[str]) -> frozenset[PathRole]:
    asked = frozenset(words)
    return frozenset(role for role, signs in _ASKS.items() if signs & asked)


def _weights(terms: Iterable[str]) -> dict[str, float]:
    """Each term's weight is how often the question says it."""
    weights: dict[str, float] = {}
    for term in terms:
        weights[term] = weights.get(term, 0.0) + 1.0
    return weights


def analyze(text: str) -> Question:
    """Understand a query of any length; one without a word has no terms."""
    symbol = text.strip().removesuffix("()") if is_symbol(text) else None
    words = words_of(text)
    telling = [word for word in words if word.casefold() not in STOP_WORDS] or words
    terms = [term for word in telling for term in terms_of(word)]
    path_words = frozenset(
        stem(word.casefold()) for word in telling if len(word) >= _MIN_PATH_WORD_CHARS and symbol is None
    )
    return Question(
        text=text,
        terms=_weights(terms),
        symbol=symbol,
        mentions=() if symbol else mentions_in(text),
        path_words=path_words if len(path_words) <= MAX_PATH_WORDS else frozenset(),
        asks_for=_asks_for([*(word.casefold() for word in words), *terms]),
    )
