"""How much of a question a text speaks of, by its words alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")

_SMALL = frozenset(
    [
        "a",
        "about",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "between",
        "both",
        "but",
        "by",
        "can",
        "cannot",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "done",
        "each",
        "for",
        "from",
        "get",
        "gets",
        "give",
        "given",
        "got",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "let",
        "like",
        "made",
        "make",
        "makes",
        "many",
        "may",
        "me",
        "might",
        "more",
        "most",
        "much",
        "must",
        "my",
        "need",
        "no",
        "nor",
        "not",
        "of",
        "off",
        "on",
        "once",
        "one",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "please",
        "put",
        "same",
        "say",
        "see",
        "shall",
        "she",
        "should",
        "show",
        "so",
        "some",
        "such",
        "take",
        "tell",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "use",
        "used",
        "uses",
        "using",
        "very",
        "want",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "while",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "within",
        "without",
        "would",
        "you",
        "your",
    ]
)
"""Words that say nothing of what a question is about."""

_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ied", "ed", "es", "ly", "s", "e", "y")
_LEAST_STEM = 3


def stem(word: str) -> str:
    """A word without its ending, so that forms of it meet; not a word itself. English, and harmless elsewhere."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            return word[: -len(ending)]
    return word


def content_words(text: str) -> tuple[str, ...]:
    """The stems of the words that say what a text is about, each once, in their order."""
    words = (word.lower().removesuffix("'s") for word in _WORD.findall(text))
    return tuple(dict.fromkeys(stem(word) for word in words if word not in _SMALL))


def coverage(wanted: Iterable[str], text: str) -> float:
    """The share of the wanted stems that a text has, from 0 to 1; parts of ``names_like_this`` and ``likeThis`` count. 1 where none is wanted."""
    wanted = tuple(wanted)
    if not wanted:
        return 1.0
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", text)
    found = set(content_words(parted)) | set(content_words(text))
    return sum(word in found for word in wanted) / len(wanted)
