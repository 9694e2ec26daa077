"""Notebooks: cells in their order, text and code and what the code answered."""

from __future__ import annotations

import json
from typing import Any

from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError
from skep.documents.models import Document
from skep.documents.readers.json import reason_of
from skep.documents.readers.markdown import read_lines
from skep.documents.texts import clean, decode

_MAX_OUTPUT_CHARACTERS = 20_000


def read(source: Source) -> Document:
    """Raises FormatUnknownError when it is no text, FileDamagedError when it is no notebook."""
    try:
        found = json.loads(decode(source.data).text)
    except (ValueError, RecursionError) as error:
        raise FileDamagedError(reason=reason_of(error)) from error
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, list):
        raise FileDamagedError(reason="it is no notebook: it has no cells")
    draft = Draft("notebook", "cell", page_count=len(cells))
    metadata = found.get("metadata")
    language = metadata.get("language_info") if isinstance(metadata, dict) else None
    if isinstance(language, dict):
        draft.describe("language", _joined(language.get("name")))
    for number, cell in enumerate(cells, 1):
        draft.page = number
        if isinstance(cell, dict):
            _read_cell(draft, cell)
    return draft.finished()


def _read_cell(draft: Draft, cell: dict[str, Any]) -> None:
    text = clean(_joined(cell.get("source")))
    if cell.get("cell_type") == "markdown":
        read_lines(draft, text.split("\n"), has_lines=False)
        return
    draft.add(text, "code" if cell.get("cell_type") == "code" else "text")
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            data = output.get("data")
            shown = data.get("text/plain") if isinstance(data, dict) else output.get("text")
            draft.add(_joined(shown)[:_MAX_OUTPUT_CHARACTERS], "note")


def _joined(value: Any) -> str:  # noqa: ANN401 -- any JSON
    """A text, which may be said as a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""
