"""The words of a text as they are written: in small letters, a plural as its singular, a number in figures, and marks between them. Pure.

A word that may be a name, a unit or code by its capitals or its place stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skep.gateway.caching.words import (
    ABBREVIATIONS,
    BEFORE_NAMES,
    IRREGULAR_PLURALS,
    LITTLE_WORDS,
    NAMED_THINGS,
    NUMBERS,
    PLURALS_ALONE,
    QUESTION_WORDS,
    ROMAN,
    SAME,
    WRITTEN_ANYHOW,
)

MARK = "\x01"
"""Around the number of a literal that was taken out."""

WORD = re.compile(r"[a-z]+(?:-[a-z]+)*\Z")
_NAME = re.compile(r"[A-Z][A-Za-z]*(?:-[A-Za-z]+)*\Z")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(%|[kmgt]?b|[KMGT]B|ms|s|min|h|km|KM|cm|CM|mm|m|kg|KG|mg|g|ml|l)\Z")
"""Large as well where nothing else is meant: 5M is 5 millions, 5m are metres; s is a second, S a siemens."""
_BITS = re.compile(r"(?:\d+(?:\.\d+)?)?[KMGT]b(?:it)?s?\Z")
"""Of MB and Mb one is eight of the other."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?\Z")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+\Z")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)\Z")
_VOWEL = re.compile(r"[aeiouy]")
_IN_BRACKETS = re.compile(r"\([^()\s]*\)[.,;:?!]*\Z")
_CAMEL = re.compile(r"[a-z][A-Z]")
_CODE = re.compile(r"[^A-Za-z0-9.'-]")
"""Where there are marks other than those within names and dates, capitals count."""

_CONTRACTED = (("n't", "not"), ("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'m", "am"), ("i'd", "would"))
_SHORT_STEMS = {"ca": "can", "wo": "will", "sha": "shall", "": "i"}
END, PAUSE = ".", ","
_IS_WORDS = QUESTION_WORDS | {"it", "that", "there", "he", "she", "here", "let"}
"""Behind these ``'s`` is *is*."""

_COUNTED = frozenset(("a", "an", "does", "has"))
_WRITTEN = {"--": PAUSE, "Mt": "Mount", **ROMAN}


@dataclass(slots=True)
class Spelling:
    """Reads the words of a text as they are written."""

    literals: list[str]
    shouts: bool
    """All of the text is in capitals, which then tell nothing."""
    is_in_name: bool = False
    """Behind a word before names."""
    forms: int = 0
    """How many plurals, *a* and third persons there were: in their place others may have none, or *the*, and mean one of them alone."""

    def words_in(self, text: str) -> list[str]:
        """The words, with marks between them; what is no word becomes a literal."""
        words: list[str] = []
        for piece in text.split():
            core = piece if _IN_BRACKETS.match(piece) else piece.lstrip("(")
            if core != piece:
                words.append(PAUSE)
            core = core.rstrip(".,;:?")
            while core.endswith(")") and core.count("(") < core.count(")"):
                core = core[:-1].rstrip(".,;:?")
            tail = piece[piece.rfind(core) + len(core) :] if core else piece
            # Behind a digit it may be a factorial.
            if core.endswith("!") and not core[:-1][-1:].isdigit():
                core, tail = core.rstrip("!"), "!" + tail
            if core:
                words += self._word(core, is_first=not words or words[-1] == END)
            if tail:
                self.is_in_name = False
            if any(mark in tail for mark in ("?!;" if core.lower() in ABBREVIATIONS else ".?!;")):
                words.append(END)
            elif tail:
                words.append(PAUSE)
        return words

    def _word(self, core: str, *, is_first: bool) -> list[str]:
        """One word: as one or several words of ours."""
        small = core.lower()
        self.is_in_name = self.is_in_name and small not in LITTLE_WORDS
        words = self._read(core, small, is_first=is_first)
        self.is_in_name = self.is_in_name or small in BEFORE_NAMES or _DAY.match(core) is not None
        return words

    def _read(self, core: str, small: str, *, is_first: bool) -> list[str]:
        if core.startswith(MARK) and core.endswith(MARK):
            return [core]
        if core in _WRITTEN:
            return [_WRITTEN[core]]
        if _BITS.match(core):
            return [self._literal(core)]
        if self._is_name(core, small, is_first=is_first):
            return [core]
        parts = _parts(core, small if is_first or self.shouts or small.startswith("i'") else core)
        if parts is not None:
            return [
                word
                for part in parts
                for word in ([part] if part == "'s" else self._read(part, part.lower(), is_first=is_first))
            ]
        if _GROUPED.match(core):
            return [core.replace(",", "")]
        if _NUMBER.match(core) or _DAY.match(core):
            return [core]
        # A name of code such as parseConfig says by its capitals which it is; so do mS and ms.
        if small in SAME or small in WRITTEN_ANYHOW or (WORD.match(small) and not _CAMEL.match(core)):
            return self._plain(small, is_first=is_first and core != small).split()
        says_by_capitals = _CAMEL.match(core) or _CODE.search(core) or core.lstrip("-.")[:1].isdigit()
        return [self._literal(core if says_by_capitals else small)]

    def _is_name(self, core: str, small: str, *, is_first: bool) -> bool:
        """Whether its capitals may make a word another one: IT, US and PIN, Windows, the language C, the novel It."""
        if not _NAME.match(core) or small in WRITTEN_ANYHOW or small == "i":
            return False
        if self.shouts:
            return len(core) == 1 and small != "a"
        if core.isupper():
            return small != "a" or not is_first
        return not is_first or small in NAMED_THINGS

    def _plain(self, small: str, *, is_first: bool) -> str:
        """A word for those that count as one; a plural stays one where the word may be a name."""
        self.forms += small in _COUNTED
        if self.is_in_name:
            return NUMBERS.get(small, small)
        if not self.shouts and not is_first:
            lemma = _lemma(small)
            self.forms += small in IRREGULAR_PLURALS or (small.endswith("s") and not lemma.endswith("s"))
            return lemma
        word = small if small in IRREGULAR_PLURALS else SAME.get(small, small)
        return NUMBERS.get(word, word)

    def _literal(self, core: str) -> str:
        self.literals.append(core)
        return f"{MARK}{len(self.literals) - 1}{MARK}"


def _parts(core: str, told: str) -> list[str] | None:
    """What is written together and is several words, the first as it is told; None for what is one."""
    for ending, word in _CONTRACTED:
        if told.endswith(ending):
            stem = told.removesuffix(ending)
            return [_SHORT_STEMS.get(stem, stem), word]
    if core.endswith(("'s", "'S")):
        return [told[:-2], "is"] if told[:-2].lower() in _IS_WORDS else [core[:-2], "'s"]
    if core.endswith(("s'", "S'")):
        return [core[:-1], "'s"]
    sized = _SIZE.match(core)
    return [sized.group(1), sized.group(2).lower().replace("%", "percent")] if sized is not None else None


def _lemma(word: str) -> str:
    """A word without the s of its plural, or of its third person; a number in figures."""
    word = SAME.get(word, word)
    if word in NUMBERS:
        return NUMBERS[word]
    if len(word) < 4 or word in PLURALS_ALONE or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss"), ("zzes", "zz")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return SAME.get(word.removesuffix(ending) + instead, word.removesuffix(ending) + instead)
    stem = word[:-1]
    # https, dns and tls are no plurals.
    return SAME.get(stem, stem) if _VOWEL.search(stem) else word
