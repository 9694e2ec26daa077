"""reStructuredText by its section titles (docutils: a title is underlined, or over- and underlined, by punctuation; the
level of a style is the order in which styles appear in the file).
"""

from __future__ import annotations

import string

from skep.knowledge.chunking.language import Heading, Language

_MIN_ADORNMENT = 3
"""docutils accepts shorter ones only with a warning; below this, ``--`` and ``..`` mean other things."""


def _adornment(line: str) -> str:
    """The character a line of punctuation consists of; empty when it is no such line."""
    line = line.rstrip()
    is_rule = len(line) >= _MIN_ADORNMENT and line[0] in string.punctuation and not line.strip(line[0])
    return line[0] if is_rule else ""


def headings(lines: list[str]) -> list[Heading]:
    """Every section title of an RST file, in order."""
    found: list[Heading] = []
    styles: list[tuple[str, bool]] = []
    number = 1
    while number < len(lines):
        title, mark = lines[number - 1].rstrip(), _adornment(lines[number])
        above = lines[number - 2] if number >= 2 else ""
        overlined = bool(mark) and _adornment(above) == mark
        # An underlined title stands after a blank line and is not indented; between two rules it may be.
        stands_free = overlined or (not above.strip() and title[:1].strip() != "")
        underlined = len(lines[number].rstrip()) >= len(title.strip())
        if mark and title.strip() and not _adornment(title) and stands_free and underlined:
            style = (mark, overlined)
            if style not in styles:
                styles.append(style)
            found.append(Heading(number - 2 if overlined else number - 1, styles.index(style) + 1, title.strip()))
            number += 1  # the underline opens nothing else
        number += 1
    return found


LANGUAGE = Language(name="rst", kind="docs", extensions=(".rst", ".rest"), headings=headings)
