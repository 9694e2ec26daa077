"""The question of a request: what the user said last, apart from all that stands around it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from skep.gateway.caching.entries import question_key
from skep.gateway.caching.senses import sense_of
from skep.gateway.caching.wordings import Asked
from skep.gateway.profiles import Face
from skep.gateway.requests import Known

_FORM = 2
"""Of senses: those of another form are not found."""

_LISTS: dict[Face, tuple[str, str]] = {
    "chat.completions": ("messages", "text"),
    "messages": ("messages", "text"),
    "responses": ("input", "input_text"),
}
"""Where a face has what was said, and what it calls a text there."""


def asked_in(seed: bytes, whose: tuple[str, int], known: Known, headers: Iterable[tuple[bytes, bytes]]) -> Asked | None:
    """The question of a request; None where it cannot be told apart or is not understood: see `sense_of`. As in `question_key`."""
    text = _last_text(known)
    sense = None if text is None else sense_of(text)
    if text is None or sense is None:
        return None
    around = _around(known.body, text)
    if around is None:
        return None
    framed = b"%d;%d;%b;%b;%b" % (_FORM, len(around[0]), *around, sense.encode())
    return Asked(question_key(seed, whose, f"{known.face}, in other words", headers, framed), text)


def _last_text(known: Known) -> str | None:
    """What the user said last, if that is one text and nothing else."""
    if known.face not in _LISTS:
        return None
    name, kind = _LISTS[known.face]
    said: Any = known.values.get(name)
    if isinstance(said, str):
        return said if known.face == "responses" else None
    if not isinstance(said, list) or not said or not isinstance(said[-1], dict):
        return None
    last = said[-1]
    if last.get("role") != "user":
        return None
    content = last.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        content = content[0].get("text") if content[0].get("type") == kind else None
    return content if isinstance(content, str) else None


def _around(body: bytes, text: str) -> tuple[bytes, bytes] | None:
    """What stands before and behind a text, byte by byte; None when it is not written once, as most write it."""
    written = orjson.dumps(text)
    if body.count(written) != 1:
        return None
    before, _, behind = body.partition(written)
    return before, behind
