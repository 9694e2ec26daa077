"""A question, and what answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skep.knowledge import CollectionFreshness


@dataclass(frozen=True, slots=True)
class AskRequest:
    """A question in words; no collections: all."""

    question: str
    collections: tuple[str, ...] = ()
    most_quotes: int = 3


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of a document that answer, as they stand there. Lines count from 1 and include both ends."""

    number: int
    """From 1, best first: what the answer refers to it by."""
    text: str
    collection: str
    path: str
    version: str
    """SHA-256 of the document's bytes, as hexadecimal digits: which state of it is quoted."""
    start_line: int
    end_line: int
    heading: str | None
    """The headings above, from the outermost on."""
    relevance: float
    """From 0 to 1: how well it fits, by meaning and by words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What documents say to a question. Nothing in it was written by a model."""

    question: str
    kind: Literal["extractive"]
    """``extractive``: quotes alone, chosen and put in order."""
    is_answered: bool
    """False: nothing that is indexed fits."""
    quotes: tuple[Quote, ...]
    took_ms: float
    behind: tuple[CollectionFreshness, ...] = ()
    """Collections whose newest changes were not yet searchable; empty is the rule."""
    embedded_fraction: float | None = None
    """How much of what was searched could be found by its meaning, 0.0 to 1.0; None when only words are searched."""
