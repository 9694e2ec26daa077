"""Questions that were put in other words: what is kept of them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user of a call said last."""

    key: bytes
    """Of the sense of it, and of everything else that the answer depends on to the last byte."""
    text: str


@dataclass(frozen=True, slots=True)
class Put:
    """How a question was put whose answer is kept."""

    answer_key: bytes
    """Under which its answer is kept."""
    text: str
    call_id: str
    """Of the call that was answered."""

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.text) + 300


@dataclass(frozen=True, slots=True)
class Likeness:
    """To which question an answer is given that was put in other words."""

    similarity: float
    """Cosine of both questions' vectors."""
    text: str
    call_id: str
    """Of the call that was answered."""


@dataclass(slots=True)
class Wording:
    """What it takes to find the answer to a question that was put in other words, and what was found."""

    read: Callable[[], Asked | None]
    """Reads what is asked; done only when the same bytes were not found."""
    least_similarity: float
    wait_seconds: float
    asked: Asked | None = None
    likeness: Likeness | None = None
    """To which question the answer is; None: to this one."""

    def anew(self) -> Wording:
        """For the same question, asked once more."""
        return Wording(self.read, self.least_similarity, self.wait_seconds, self.asked)


def packed_put(key: bytes, put: Put) -> bytes:
    """As bytes, for a store outside of this process. Its key stands in it: see `unpacked_put`."""
    return orjson.dumps({"key": key.hex(), "answer": put.answer_key.hex(), "text": put.text, "call": put.call_id})


def unpacked_put(key: bytes, data: bytes) -> Put:
    """What such bytes say. Raises ValueError for what is none, or another's."""
    try:
        found = orjson.loads(data)
        if found["key"] != key.hex():
            raise ValueError("it is that of another key")
        return Put(bytes.fromhex(found["answer"]), str(found["text"]), str(found["call"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no question: {error!r}") from error
