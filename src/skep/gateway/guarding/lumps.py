"""Cuts texts into lumps, between which nothing that is looked for can stand. Pure.

Where a lump ends depends on what stands before, and on one character behind: so a text has the same lumps however it comes in pieces, and a stream
can pass a lump on as soon as the next one begins. Words are lumps, with the space behind them. Groups of digits and capitals that follow each
other are one, since numbers of cards, accounts and telephones are written so; so is a block with a private key, and the words of a phrase
that the settings deny.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from skep.gateway.guarding.detectors import KEY_BLOCK, KEY_BLOCK_BEGIN
from skep.gateway.models import GuardKind

MOST_CHARACTERS = 16_384
"""A lump that is longer is cut all the same, though not through something that was found; a private key of 16,384 bits is shorter."""

OVERLAP_CHARACTERS = 1_024
"""Where such a cut is made, so many characters are left for the next lump: what is found is shorter, but for keys."""

_INSIDE = (
    r"A-Za-z0-9_@.%+\-/:=~#&'*$()\\\u00a3\u20ac\u2010-\u2015\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0dff"
    r"\u10a0-\u167f\u1681-\u177f\u1800-\u1fff"
)
"""What words and numbers consist of, and what may stand in them. Letters of scripts that put no space between words are lumps of their own."""

_RUN = re.compile(f"[{_INSIDE}]++")
_FIRST_OF_NEXT = r"[0-9A-Z+(]"

_NUMBERED: frozenset[GuardKind] = frozenset({"phone", "card", "iban", "national_id", "address", "credential"})
_WORDS_OF_STREETS = (
    "de du des la le les del los las della dei di da den der van bis ter rue avenue boulevard place chemin impasse all\u00e9e quai cours"
    " Calle Avenida Plaza Paseo Via Viale Piazza Corso ulica ul."
)


@dataclass(frozen=True, slots=True)
class Phrases:
    """Words that may have space between them, in any case."""

    words: tuple[str, ...]
    pattern: re.Pattern[str] = field(init=False)
    _beginnings: frozenset[str] = field(init=False)
    _longest: int = field(init=False)
    _most_words: int = field(init=False)

    def __post_init__(self) -> None:
        plain = [_plain(word) for word in self.words]
        found = sorted({_bounded(word) for word in plain}, key=len, reverse=True)
        object.__setattr__(self, "pattern", re.compile("|".join(found) or r"(?!)", re.IGNORECASE))
        beginnings = {word[:length] for word in plain for length in range(1, len(word))}
        object.__setattr__(self, "_beginnings", frozenset(beginnings))
        object.__setattr__(self, "_longest", max(map(len, beginnings), default=0))
        object.__setattr__(self, "_most_words", max((len(word.split()) for word in plain), default=0))

    def may_go_on(self, text: str) -> bool:
        """Whether a phrase may have begun at the end of a text."""
        if not self._beginnings:
            return False
        # No more words than a phrase has: this is asked again with each word of a lump.
        plain = _plain(" ".join(text.rsplit(None, self._most_words)[-self._most_words :]))
        if text[-1:].isspace():
            plain += " "
        return any(plain[-length:] in self._beginnings for length in range(1, min(len(plain), self._longest) + 1))


def longest_run(text: str) -> int:
    """How many characters follow each other in a text without a space or another mark between words."""
    return max((match.end() - match.start() for match in _RUN.finditer(text)), default=0)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.casefold()).strip()


def _bounded(word: str) -> str:
    """A word stands by itself; one of a script without spaces, anywhere."""
    pattern = r"\s+".join(map(re.escape, word.split(" ")))
    edge = r"[A-Za-z0-9_\u00c0-\u024f]"
    before = rf"(?<!{edge})" if re.match(edge, word) else ""
    behind = rf"(?!{edge})" if re.match(edge, word[-1]) else ""
    return before + pattern + behind


class Cutter:
    """Cuts texts in which some kinds are looked for, and phrases."""

    def __init__(self, kinds: Collection[GuardKind], phrases: Phrases) -> None:
        self._phrases = phrases
        self._lump = _pattern(frozenset(kinds))

    def lumps(self, text: str, start: int, *, is_whole: bool) -> Iterator[tuple[int, int]]:
        """The lumps from ``start`` on, of at most `MOST_CHARACTERS` and one more; the last one only if no more text follows.

        ``start`` is where a lump begins. Whoever gets one that is too long cuts it where it may, and begins anew there.
        """
        begins = start
        for match in self._lump.finditer(text, start):
            end = match.end()
            # What ends by a mark is whole; behind a space or a letter more of the same may follow.
            if end == match.start() or not (is_whole or end < len(text) or match[1] is not None):
                break
            if end - begins <= MOST_CHARACTERS and self._phrases.may_go_on(text[begins:end]):
                if end < len(text):
                    continue
                if not is_whole:
                    break
            yield begins, end
            begins = end
        if (is_whole and begins < len(text)) or len(text) - begins > MOST_CHARACTERS:
            yield begins, len(text)


@lru_cache(maxsize=64)
def _pattern(kinds: frozenset[GuardKind]) -> re.Pattern[str]:
    inside = f"[{_INSIDE}{',' if 'address' in kinds else ''}]"
    # What is looked for may begin behind any mark in a word.
    before = rf"(?:{inside}*(?![A-Za-z0-9]){inside})?"
    digits = rf"(?={inside}*\d){inside}++"
    followed = []
    if kinds & _NUMBERED:
        capitals = rf"{before}(?:(?![^\W\d_A-Z\u00c0-\u00de]){inside}){{1,12}}(?=\s)"
        followed.append(rf"(?:{digits}|{capitals})\s++(?={_FIRST_OF_NEXT})")
    if "address" in kinds:
        words = "|".join(map(re.escape, _WORDS_OF_STREETS.split()))
        followed.append(rf"(?:{digits}|{before}(?:[A-Z\u00c0-\u00de]{inside}*+|(?:{words}),?(?=\s)))\s++(?={inside})")
    if "credential" in kinds:
        followed.append(rf"{inside}*?(?:(?i:bearer|basic)|-----BEGIN)\s++(?={inside})")
    run = f"(?:{'|'.join(followed)})"
    block = ""
    if "credential" in kinds:
        run = rf"(?!{inside}*?{KEY_BLOCK_BEGIN}){run}"
        block = rf"{inside}*?{KEY_BLOCK}|"
    run = f"(?:{run})*+" if followed else ""
    return re.compile(rf"{run}(?:{block}{inside}*+(?:\s++|((?!\s|{inside})(?s:.))|\Z))")
