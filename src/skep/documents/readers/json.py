"""JSON: the members of an object or the items of a list, below their names."""

from __future__ import annotations

import json
from typing import Any

from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError
from skep.documents.models import Document
from skep.documents.readers.text import text_lines

_PIECE_CHARACTERS = 4000
"""Members and items are put together up to about so much text; larger ones are taken apart."""

_MAX_DEPTH = 20


def read(source: Source) -> Document:
    """Raises FormatUnknownError when it is no text, FileDamagedError when it is no JSON."""
    draft = Draft("json")
    lines = text_lines(draft, source.data)
    text = "\n".join(lines)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _read_lines(draft, lines):
            return draft.finished()
        raise FileDamagedError(reason=reason_of(error)) from error
    _add(draft, value, 1)
    return draft.finished()


def reason_of(error: ValueError | RecursionError) -> str:
    """Why something is no JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON from line {error.lineno}, column {error.colno} on ({error.msg})"
    return "it is no JSON that can be read: it is nested too deeply, or has a number that is too long"


def _read_lines(draft: Draft, lines: list[str]) -> bool:
    """Take it as one value per line, if it is that."""
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    try:
        for _, line in filled:
            json.loads(line)
    except (ValueError, RecursionError):
        return False
    run: list[tuple[int, str]] = []
    for entry in filled:
        run.append(entry)
        if sum(len(line) for _, line in run) >= _PIECE_CHARACTERS:
            _add_lines(draft, run)
    _add_lines(draft, run)
    return True


def _add_lines(draft: Draft, run: list[tuple[int, str]]) -> None:
    if run:
        draft.add("\n".join(line for _, line in run), "code", first_line=run[0][0], last_line=run[-1][0])
        run.clear()


def _add(draft: Draft, value: Any, level: int) -> None:  # noqa: ANN401 -- any JSON
    """Put a value below the headings that lead to it."""
    if not isinstance(value, dict | list) or level > _MAX_DEPTH:
        draft.add(_said(value), "code")
        return
    members = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    run: list[str] = []
    size = 0
    for name, member in members:
        text = _said(member)
        if len(text) > _PIECE_CHARACTERS and isinstance(member, dict | list):
            draft.add("\n".join(run), "code")
            run, size = [], 0
            draft.enter(level, name or "")
            _add(draft, member, level + 1)
            draft.enter(level)
            continue
        run.append(text if name is None else f"{name}: {text}")
        size += len(run[-1])
        if size >= _PIECE_CHARACTERS:
            draft.add("\n".join(run), "code")
            run, size = [], 0
    draft.add("\n".join(run), "code")


def _said(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
