"""How many tokens a text takes, without anybody's tokenizer. Pure."""

from __future__ import annotations

import re

_PIECES = re.compile(
    r"(?P<word>[A-Z]?[a-z]+)|(?P<capitals>[A-Z]+)|(?P<digits>[0-9]+)|(?P<signs>[!-/:-@\[-`{-~]+)"
    r"|(?P<line>\s*\n)|(?P<blanks>[ \t]{2,})|(?P<wide>[^\x00-\uffff])|(?P<other>[^\s])"
)
_CHARACTERS = {"word": 7, "capitals": 3, "digits": 3, "signs": 2}
"""How many characters of such a piece one token holds."""

_WIDE_TOKENS = 3
"""Of a character outside the Basic Multilingual Plane, such as most emoji."""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few.

    Measured against two public tokenizers (o200k and cl100k) on 330 files of 15 kinds.
    """
    total = 0
    for match in _PIECES.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "wide":
            total += _WIDE_TOKENS
        else:
            total += 1 + (match.end() - match.start() - 1) // _CHARACTERS.get(kind, 1_000)
    return total
