"""What a question asks, however it is put: two questions of the same sense differ in nothing but courtesy, word order that says nothing, and
words that say the same. Pure, for English alone.

Vectors of texts know what a question is about, and hardly whether it asks for the contrary: *start* is near *stop*, 2024 near 2025, "from
A to B" near "from B to A". So every word that may count stays in the sense, each number, name, negation, comparison and tense too; what
a word is governed by and the order of what is not governed say who does what to whom. What is not understood makes two senses differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from skep.gateway.caching.words import (
    ABBREVIATIONS,
    ANYWHERE,
    ARTICLES,
    AUXILIARIES,
    COURTESIES,
    DEGREES,
    FOREIGN,
    GERUNDS,
    LANGUAGES,
    NUMBERS,
    OPENERS,
    PLURALS_ALONE,
    PREPOSITIONS,
    QUESTION_WORDS,
    REQUESTS,
    ROMAN,
    SAME,
    TENSES,
    UNITS_OF_TIME,
)

LONGEST_TEXT = 1_000
"""Characters; a longer text is seldom asked twice in other words, and of it the vector says little."""

_LITERAL = re.compile(r"```.*?```|`[^`\n]+`|\"[^\"\n]+\"|(?<![\w'])'[^'\n]+'(?!\w)", re.DOTALL)
"""Stays as it is: code and quotations."""

_MARK = "\x01"
"""Around the number of a literal that was taken out."""

_STRAIGHT = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": ".",
        "\u00a0": " ",
    }
)

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*\Z")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(%|[kmgt]?b|ms|s|min|h|km|cm|mm|m|kg|mg|g|ml|l)\Z")
_BITS = re.compile(r"(?:\d+(?:\.\d+)?)?[KMGT]b(?:it)?s?\Z")
"""Of MB and Mb one is eight of the other."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?\Z")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+\Z")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)\Z")
_VOWEL = re.compile(r"[aeiouy]")
_CAMEL = re.compile(r"[a-z]{2,}[A-Z]")
_CODE = re.compile(r"[^A-Za-z0-9.'-]")
"""Where there are marks other than those within names and dates, capitals count."""

_CONTRACTED = (("n't", "not"), ("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'m", "am"), ("i'd", "would"))
_SHORT_STEMS = {"ca": "can", "wo": "will", "sha": "shall", "": "i"}
_IS_WORDS = QUESTION_WORDS | {"it", "that", "there", "he", "she", "here", "let"}
"""Behind these ``'s`` is *is*."""

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"

_DOING = ("do", "does", "did")

_LITTLE_WORDS = ARTICLES | AUXILIARIES | ANYWHERE | QUESTION_WORDS | PREPOSITIONS.keys()
_OFTEN_NAMES = _LITTLE_WORDS | {"us", "it", "he", "she", "they", "this", "that", "i", "aid", "aids", "ram", "sat", "go"}
_ENGLISH_WORDS = _LITTLE_WORDS | REQUESTS | COURTESIES

_END, _PAUSE = ".", ","
_MARKS = (_PAUSE, "'s", "and")
_WRITTEN = {"-": _PAUSE, "--": _PAUSE, "/": _PAUSE, **ROMAN}

_OPENERS = re.compile(rf"(?:(?:{'|'.join(OPENERS)})[ ,]*)+")
_HOW_TO = re.compile(
    r"(?:how (?:do|can|would) (?:i|you|one|people)|how does one|how to|(?:what is |show i |give i |tell i )?the (?:way|procedure|process|method) to|what do i (?:have to )?do to)\b"
)
_PHRASES = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"\bsecond world war\b|\bww ?2\b|\bwwii\b", "world war 2"),
        (r"\bfirst world war\b|\bww ?1\b|\bwwi\b|\bworld war i\b", "world war 1"),
        (rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTHS})\b", r"\2 \1"),
        (rf"\b({_MONTHS}) (?:the )?(\d{{1,2}})(?:st|nd|rd|th)\b", r"\1 \2"),
        (r"\b(is|are|was|were|be) there\b", r"\1"),
        (r"\b(?:is|are) (it )?going to\b", r"will \1"),
        (r"^(?:do you think|would you say)(?: that)? ", "whether "),
        (r"^(?:explain|describe) (?=the difference\b)", "what is "),
        (r"^define ", "what is "),
        (r"^(?:calculate|compute|how much is) (?=\d)", "what is "),
        (r"^(?:what|which) (?:is|are) the meaning of (.+)", r"what does \1 mean"),
        (r"^what is meant by (.+)", r"what is \1"),
        (r"^what (do|does|did|will) (.+) cost\b", r"how much \1 \2 cost"),
        (r"^is it possible to\b", "can i"),
        (r"^(?:am|is|are) (.+?) allowed to\b", r"can \1"),
        (r"^may\b", "can"),
        (r"\bdo i (?:have|need) to\b", "must i"),
        (
            r"^(?:i would like|i need|i want|give i|provide i with|can i have|i am looking for) (?=(?:a|an|some|the|\d+)\b)",
            "give ",
        ),
        (r"\b(?:turn|switch) on\b", "turn-on"),
        (r"\b(?:turn|switch) off\b", "turn-off"),
        (r"\b(?:more|bigger|larger|greater) than\b", "over-than"),
        (r"\b(?:fewer|smaller|less) than\b", "under-than"),
        (r"\bback up\b", "backup"),
        (r"\bfind out\b", "find"),
        (r"\b(?:get|getting) rid of\b", "delete"),
        (r"\ba (few|little)\b", r"a-\1"),
        (r"\bin order to\b", "to"),
        (r"\bfor (?:each|every)\b", "per"),
        (r"\bthrow (?=(?:an? |the )?exception\b)", "raise "),
        (rf"\b(?:with|using) (?=(?:{LANGUAGES})\b)", "in "),
    )
)
_MOVED = re.compile(
    r"((?:(?:in|on|with|using|under|by|for|at) (?!what|which|whom|how)[^,.]+? ?,?)|(?:(?:when|if) [^,.]+?,)) (?=(?:how|what|which|who|why|when|where|can|does|do|is|are) )(?P<rest>[^.]+)"
)
"""What stands before a question and could stand behind it."""


_ASKED_BY = re.compile(r"(in|on|at|for|to|by|from|with|until|since|under|after|before) (?=(?:what|which|whom|how)\b)")


def sense_of(text: str) -> str | None:
    """What a text asks, as a text of its own; None for what is not covered: long, not in English, empty."""
    text = text.translate(_STRAIGHT).strip()
    if not text or len(text) > LONGEST_TEXT or not text.isascii() or _MARK in text:
        return None
    literals: list[str] = []

    def lift(found: re.Match[str]) -> str:
        literals.append(found.group())
        return f" {_MARK}{len(literals) - 1}{_MARK} "

    words = _words(_LITERAL.sub(lift, text), literals)
    if not _is_english(words):
        return None
    senses = [sense for sentence in _sentences(words) if (sense := _sentence_sense(" ".join(sentence)))]
    if not senses:
        return None
    # Written out last: no rule for words meets what is quoted.
    return re.sub(f"{_MARK}(\\d+){_MARK}", lambda found: literals[int(found.group(1))], " | ".join(senses))


def _words(text: str, literals: list[str]) -> list[str]:
    """The words in small letters, with marks between them; what is no word becomes a literal."""
    shouts = text.isupper()
    words: list[str] = []
    for piece in text.split():
        core = piece.lstrip("([{")
        if core != piece:
            words.append(_PAUSE)
        core = core.rstrip(".,;:?")
        while core[-1:] in (")", "]", "}") and core.count("([{"[")]}".index(core[-1])]) < core.count(core[-1]):
            core = core[:-1].rstrip(".,;:?")
        tail = piece[piece.rfind(core) + len(core) :] if core else piece
        # Behind a digit it may be a factorial.
        if core.endswith("!") and not core[:-1][-1:].isdigit():
            core, tail = core.rstrip("!"), "!" + tail
        if core:
            words += _read(core, literals, shouts=shouts)
        if any(mark in tail for mark in ("?!;" if core.lower() in ABBREVIATIONS else ".?!;")):
            words.append(_END)
        elif tail:
            words.append(_PAUSE)
    return words


def _read(core: str, literals: list[str], *, shouts: bool) -> list[str]:
    """One word as it is written: as one or several words of ours."""
    small = core.lower()
    if core.startswith(_MARK) and core.endswith(_MARK):
        return [core]
    if core in _WRITTEN:
        return [_WRITTEN[core]]
    if not shouts and core.isupper() and len(core) > 1 and small in _OFTEN_NAMES:
        # IT, US and WHO are none of the words that are written like them.
        return [_literal(core, literals)]
    if _BITS.match(core):
        return [_literal(core, literals)]
    parts = _parts(core, small)
    if parts is not None:
        return [word for part in parts for word in ([part] if part == "'s" else _read(part, literals, shouts=shouts))]
    if _GROUPED.match(core):
        return [core.replace(",", "")]
    if _NUMBER.match(core) or _DAY.match(core) or small in SAME:
        return SAME.get(core, SAME.get(small, core)).split()
    # A name of code such as parseConfig says by its capitals which it is.
    if _WORD.match(small) and not _CAMEL.match(core):
        return _lemma(small).split()
    return [_literal(core if _CAMEL.match(core) or _CODE.search(core) else small, literals)]


def _parts(core: str, small: str) -> list[str] | None:
    """What is written together and is several words; None for what is one."""
    for ending, word in _CONTRACTED:
        if small.endswith(ending):
            stem = small.removesuffix(ending)
            return [_SHORT_STEMS.get(stem, stem), word]
    if small.endswith("'s"):
        return [small[:-2], "is"] if small[:-2] in _IS_WORDS else [core[:-2], "'s"]
    if small.endswith("s'"):
        return [core[:-1], "'s"]
    sized = _SIZE.match(small)
    if sized is not None and core in (small, core.upper()):
        return [sized.group(1), sized.group(2)]
    return None


def _literal(core: str, literals: list[str]) -> str:
    literals.append(core)
    return f"{_MARK}{len(literals) - 1}{_MARK}"


def _lemma(word: str) -> str:
    """A word without the s of its plural, or of its third person; a number in figures."""
    word = SAME.get(word, GERUNDS.get(word, word)) if word != "using" else word
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


def _is_english(words: list[str]) -> bool:
    plain = [word for word in words if _WORD.match(word)]
    known = sum(word in _ENGLISH_WORDS for word in plain)
    return known * 5 >= len(plain) and known > 0 and not any(word in FOREIGN for word in plain)


def _sentences(words: list[str]) -> Iterable[list[str]]:
    sentence: list[str] = []
    for word in words:
        if word != _END:
            sentence.append(word)
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _sentence_sense(text: str) -> str:
    text = re.sub(r"(?:,|\b(?:please|kindly|thanks|thank you|in advance))+$", "", text.strip(" ,")).strip(" ,")
    text = _OPENERS.sub("", text, count=1) if _OPENERS.match(text) else text
    text = text.strip(" ,")
    if (moved := _MOVED.fullmatch(text)) is not None:
        text = f"{moved['rest']} {moved.group(1).rstrip(' ,')}"
    for pattern, instead in _PHRASES:
        text = pattern.sub(instead, text)
    if not text:
        return ""
    mood, rest, before = _mood(text)
    reading = _Reading(mood)
    if before:
        # At what temperature: the same as what temperature at.
        reading.groups.append((before, []))
    return reading.read(rest.split())


def _mood(text: str) -> tuple[str, str, str]:
    """What kind of answer is wanted, what about, and the preposition that stands before what asks."""
    if (found := _HOW_TO.match(text)) is not None:
        return "how-to", text[found.end() :], ""
    before = ""
    if (found := _ASKED_BY.match(text)) is not None:
        before, text = PREPOSITIONS[found.group(1)], text[found.end() :]
    first, _, rest = text.partition(" ")
    if first in ("whether", "if") or first in AUXILIARIES:
        return "whether", rest if first in ("whether", "if") else text, before
    if first in ("can", "must", "should", "have"):
        return "whether", text, before
    if first in ("tell", "give") and re.match(r"i (?:the|my|our|\S+ 's) ", rest):
        return "what", rest[2:], before
    if first == "how":
        second, _, further = rest.partition(" ")
        if second in DEGREES and further:
            if second == "long":
                # How long it is, takes and lasts are one.
                further = re.sub(r" (?:take|last)$", "", further)
                before = ""
            return f"how {second}", further, before
    if first in QUESTION_WORDS:
        return "what" if first == "which" else first, rest, before
    if first in ("write", "give", "show", "tell", "list", "draft", "send") and rest.startswith("i "):
        text = f"{first} {rest[2:]}"
    return "do", text, before


@dataclass(slots=True)
class _Reading:
    """Takes a sentence's words one after the other."""

    mood: str
    ordered: list[str] = field(default_factory=list)
    """What nothing governs, as it stands."""
    groups: list[tuple[str, list[str]]] = field(default_factory=list)
    """What a preposition governs, each with it."""
    anywhere: list[str] = field(default_factory=list)
    tenses: set[str] = field(default_factory=set)
    governor: str = ""
    has_auxiliary: bool = False

    def read(self, words: list[str]) -> str:
        """The sense of a sentence of these words."""
        for place, word in enumerate(words):
            before = words[place - 1] if place else ""
            behind = words[place + 1] if place + 1 < len(words) else ""
            self._take(word, before, behind)
        groups = sorted(f"{governor}({' '.join(held)})" for governor, held in self.groups)
        parts = [self.mood, *sorted(self.tenses), "/", *self.ordered, "/", *groups, "/", *sorted(self.anywhere)]
        return " ".join(parts)

    def _take(self, word: str, before: str, behind: str) -> None:
        if word in COURTESIES:
            return
        if word in _MARKS:
            self._mark(word)
        elif word in ARTICLES:
            if behind in UNITS_OF_TIME and before and before not in PREPOSITIONS and before not in AUXILIARIES:
                self._govern("per")
        elif word in _DOING and before not in ("", *QUESTION_WORDS) and (self.has_auxiliary or self._ends(behind)):
            # What it does, not whether it does something.
            self._say("do")
            self._note_tense(word)
        elif word in AUXILIARIES or word in ANYWHERE:
            self._note_tense(word)
            self._help(word)
        elif word in PREPOSITIONS:
            self._govern(PREPOSITIONS[word])
        elif word in QUESTION_WORDS or word == "that":
            self.governor = ""
            self.ordered.append("that" if word in ("who", "which") else word)
        else:
            self._say(word)

    def _mark(self, word: str) -> None:
        if word == _PAUSE:
            self.governor = ""
        elif word == "'s":
            self._own()
        elif self.governor:
            # What and joins is governed alike, each for itself.
            self._govern(self.governor)

    def _help(self, word: str) -> None:
        """Take a word that stands beside what the sentence says."""
        if word in ("my", "our"):
            if self.mood != "how-to":
                self.anywhere.append("my")
            return
        self.has_auxiliary = True
        if word in ANYWHERE:
            self.anywhere.append("have" if word == "had" else word)
        else:
            # What comes behind it belongs to the sentence again.
            self.governor = ""

    @staticmethod
    def _ends(behind: str) -> bool:
        return behind in ("", _PAUSE) or behind in PREPOSITIONS

    def _say(self, word: str) -> None:
        (self.groups[-1][1] if self.governor else self.ordered).append(word)

    def _note_tense(self, word: str) -> None:
        if word in TENSES:
            self.tenses.add(TENSES[word])

    def _govern(self, governor: str) -> None:
        self.governor = governor
        self.groups.append((governor, []))

    def _own(self) -> None:
        """The word before is somebody whose the rest is: as behind *of*."""
        held = self.groups[-1][1] if self.governor else self.ordered
        if held:
            self.groups.insert(0, ("in", [held.pop()]))
