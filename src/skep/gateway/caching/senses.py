"""What a question asks, however it is put: two questions of the same sense differ in nothing but courtesy, articles, word order that says
nothing, and words that say the same. Pure, for English alone.

Vectors of texts know what a question is about, and hardly whether it asks for the contrary: *start* is near *stop*, 2024 near 2025, "from
A to B" near "from B to A". So every word that may count stays in the sense, in its place: numbers, names, negations, comparisons,
prepositions; tenses too. A name stays as it is written, and so does all of a text that asks about words. What is not understood makes
two senses differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from skep.gateway.caching.spelling import END, MARK, PAUSE, WORD, Spelling
from skep.gateway.caching.words import (
    ABOUT_LANGUAGE,
    ARTICLES,
    AUXILIARIES,
    COURTESIES,
    DAYS,
    DEGREES,
    FOREIGN,
    HELPERS,
    LANGUAGES,
    LITTLE_WORDS,
    OPENERS,
    PREPOSITIONS,
    QUESTION_WORDS,
    REQUESTS,
    SAME,
    TENSES,
    UNITS_OF_TIME,
)

LONGEST_TEXT = 1_000
"""Characters; a longer text is seldom asked twice in other words, and of it the vector says little."""

_LITERAL = re.compile(r"```.*?```|`[^`\n]+`|\"[^\"\n]+\"|(?<![\w'])'[^'\n]+'(?!\w)", re.DOTALL)
"""Stays as it is: code and quotations."""

_LAST_MARK = re.compile(r"(?:(?<=[\w\"'`)])[.?]|(?<=[A-Za-z])!)\Z")
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

_OPERATOR = re.compile(r"(?:^|\s)[^\sA-Za-z0-9\"'`]+(?=\s)")
"""Formulas and code have other rules than sentences: in *a = b* the a is no article."""
_MONTHS = "january|february|march|april|may-month|june|july|august|september|october|november|december"

_DOING = ("do", "does", "did")
_PRESENT = {"are": "is", "am": "is", "were": "was", "does": "do"}

_BEHIND_NO_ARTICLE = frozenset(LITTLE_WORDS | {"", PAUSE, "'s"})
_SAMES = frozenset(SAME.values())
_FORMS = frozenset(("have", "can", "can not", "and"))
_ENGLISH_WORDS = LITTLE_WORDS | REQUESTS | COURTESIES
_BEGINNINGS = _ENGLISH_WORDS | {"thank", "good", "well", "so", "okay"}

_OPENERS = re.compile(rf"(?:(?:{'|'.join(OPENERS)})[ ,]*)+")
_HOW_TO = re.compile(
    r"(?:how (?:do|can|would) i|how i can|how to|(?:what is |show me |give me |tell me )?the (?:way|procedure|process|method) to(?= \S+ \S))\b"
)
"""What you, we, one or people do is another matter: *how do you work*. Of one word, the way to it may be one to go: *the way to work*."""
_PLEASE = re.compile(r"(?:,[ ,]*(?:please|thanks|thank you|in advance)|(?<!^)\b(?P<before>\w+) please)$")
_ABOUT_WORDS = ("say", "spell", "write", "word", "pronounce", "translate", "is", "mean", "does", "about")
_MAY = re.compile(rf"\b((?:{'|'.join(sorted(PREPOSITIONS))}|\d+(?:st|nd|rd|th)?) )may\b|\bmay(?= \d)")
_PRONOUNS = "i|we|you|he|she|it|they"
_ASIDE = "can|must|should|may|might|have"
_PHRASES = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"(?i:\b(?:second world war|world war 2|ww ?2|wwii)\b)", "world war 2"),
        (r"(?i:\b(?:first world war|world war [1i]|ww ?1|wwi)\b)", "world war 1"),
        (rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTHS})\b", r"\2 \1"),
        (rf"\b({_MONTHS}) (?:the )?(\d{{1,2}})(?:st|nd|rd|th)\b", r"\1 \2"),
        (r"\b(is|are|was|were) there (?=\w)", r"\1 "),
        (rf"\b({_ASIDE}) not ({_PRONOUNS})\b", r"\1 \2 not"),
        # Why can I not, and why I can not, are one; what begins so is a question, and the other a statement.
        (rf"(?<!^)\b({_ASIDE}) ({_PRONOUNS})\b", r"\2 \1"),
        (r"\b(?:is|are) (it )?going to\b", r"will \1"),
        (r"^(?:do you think|would you say)(?: that)? ", "whether "),
        (r"^(?:explain|describe) (?=the difference\b)", "what is "),
        (r"^define (?!an? )(?=\S+(?: \S+)?$)", "what is "),
        (r"^(?:calculate|compute|how much is) (?=\S+ (?:percent of|plus|minus|times)\b)", "what is "),
        (r"\b(convert|translate|change|transform|turn)\b([^.]*) into\b", r"\1\2 to"),
        (r"^what is the meaning of (.+)", r"what does \1 mean"),
        (r"^what is meant by (.+)", r"what is \1"),
        (r"^what (do|does|did|will) (.+) cost\b", r"how much \1 \2 cost"),
        (r"^(?:am|is|are) (.+?) allowed to\b", r"can \1"),
        (r"^may (?=(?:i|we|you|an?) )", "can "),
        (r"^do i (?:have|need) to\b", "must i"),
        (r"^(why|when|how often) do i (?:have|need) to\b", r"\1 i must"),
        (r"^(?:i would like|i need|i want|provide me with|i am looking for) (?=(?:a|an|some|\d+)\b)", "give me "),
        (r"\b(?:turn|switch) on\b", "turn-on"),
        (r"\b(?:turn|switch) off\b", "turn-off"),
        (r"\b(?:more|bigger|larger|greater) than (?=\d)", "over-than "),
        (r"\b(?:fewer|smaller|less) than (?=\d)", "under-than "),
        (r"\bback up\b", "backup"),
        (r"\bfind out (?=\w)", "find "),
        (r"\ba (few|little)\b", r"a-\1"),
        (r"\bin order to\b", "to"),
        (r"\bfor each\b", "per"),
        (r"\bthrow (?=(?:an? |the )?exception\b)", "raise "),
    )
)
_MOVED = re.compile(
    r"((?:(?:in|on|with|using|under|by|for|at) (?!what|which|whom|how)[^,.]+? ?,?)|(?:(?:when|if) [^,.]+?,)) (?=(?:how|what|which|who|why|when|where|can|does|do|is|are) )(?P<rest>[^.]+)"
)
"""What stands before a question and could stand behind it."""


_ASKED_BY = re.compile(r"(in|on|at|for|to|by|from|with|until|since|under|after|before) (?=(?:what|which|whom|how)\b)")

_ABOUT_LANGUAGE = re.compile(
    rf"\b(?:{'|'.join(sorted(ABOUT_LANGUAGE))}|(?:in|into|to|from) (?:{'|'.join(LANGUAGES)})|(?:{'|'.join(LANGUAGES)}) for)\b",
    re.IGNORECASE,
)


def sense_of(text: str) -> str | None:
    """What a text asks, as a text of its own; None for what is not covered: long, not in English, empty."""
    text = text.translate(_STRAIGHT).strip()
    if not text or len(text) > LONGEST_TEXT or not text.isascii() or MARK in text:
        return None
    literals: list[str] = []

    def lift(found: re.Match[str]) -> str:
        literals.append(found.group())
        return f" {MARK}{len(literals) - 1}{MARK} "

    spelling = Spelling(literals, shouts=text.isupper())
    words = spelling.words_in(_LITERAL.sub(lift, text))
    if _OPERATOR.search(text) or not _is_english(words) or _names_both(text):
        return None
    if _ABOUT_LANGUAGE.search(text):
        return _as_written(text)
    senses = [sense for sentence in _sentences(words) if (sense := _sentence_sense(" ".join(sentence)))]
    if not senses:
        return None
    # Written out last: no rule for words meets what is quoted.
    return re.sub(
        f"{MARK}(\\d+){MARK}", lambda found: literals[int(found.group(1))], " | ".join((*senses, str(spelling.forms)))
    )


def _as_written(text: str) -> str:
    """Nothing but courtesy falls away, and the capital at the beginning."""
    text = _polite_end(_LAST_MARK.sub("", _beginning_small(text)))
    opener = _OPENERS.match(text)
    return f"as written: {_beginning_small(text[opener.end() :] if opener else text)}"


def _beginning_small(text: str) -> str:
    first = re.match(r"[A-Z][a-z]+\b", text)
    known = first is not None and first.group().lower() in _BEGINNINGS
    return text[:1].lower() + text[1:] if known else text


def _is_english(words: list[str]) -> bool:
    plain = [word for word in words if WORD.match(word.lower())]
    known = sum(word in _ENGLISH_WORDS for word in plain)
    return known * 5 >= len(plain) and known > 0 and not any(word in FOREIGN for word in plain)


def _names_both(text: str) -> bool:
    """Whether words that count as one stand beside each other: then a difference between them may be meant."""
    written: dict[str, str] = {}
    for word in re.findall(r"[a-z0-9-]+", text.lower()):
        stem = word if word in SAME else word.removesuffix("s")
        same = SAME.get(stem, stem)
        if same in _SAMES and same not in _FORMS and written.setdefault(same, stem) != stem:
            return True
    return False


def _sentences(words: list[str]) -> Iterable[list[str]]:
    sentence: list[str] = []
    for word in words:
        if word != END:
            sentence.append(word)
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _sentence_sense(text: str) -> str:
    text = _polite_end(text.strip(" ,"))
    text = _OPENERS.sub("", text, count=1) if _OPENERS.match(text) else text
    text = _MAY.sub(r"\1may-month", text.strip(" ,"))
    if (moved := _MOVED.fullmatch(text)) is not None:
        text = f"{moved['rest']} {moved.group(1).rstrip(' ,')}"
    for pattern, instead in _PHRASES:
        text = pattern.sub(instead, text)
    if not text or all(word in COURTESIES for word in text.split()):
        return ""
    mood, rest, before = _mood(text)
    # At what temperature: the same as what temperature at.
    return _Reading(mood).read([*rest.split(), *([before] if before else [])])


def _polite_end(text: str) -> str:
    """Without a courtesy at its end; in *how do I say please* it is none."""
    found = _PLEASE.search(text)
    if found is None:
        return text
    before = found["before"]
    if before is not None and (before in PREPOSITIONS or before in _ABOUT_WORDS):
        return text
    return text[: found.start()] + (before or "")


def _mood(text: str) -> tuple[str, str, str]:
    """What kind of answer is wanted, what about, and the preposition that stands before what asks."""
    if (found := _HOW_TO.match(text)) is not None:
        return "how-to", text[found.end() :], ""
    before = ""
    if (found := _ASKED_BY.match(text)) is not None:
        before, text = found.group(1), text[found.end() :]
    first, _, rest = text.partition(" ")
    if first in ("whether", "if") or first in AUXILIARIES:
        return "whether", rest if first in ("whether", "if") else text, before
    if first in _ASIDE.split("|"):
        return "whether", text, before
    if first == "tell" and re.match(r"me (?:the|my|our|\S+ 's) ", rest):
        return "what", f"is {rest[3:]}", before
    if first == "how":
        second, _, further = rest.partition(" ")
        if second in DEGREES and further:
            if second == "long":
                # How long a flight is, and takes, are one.
                further = re.sub(r"(?<!it)(?<!this)(?<!that) take$", "", further)
                before = ""
            return f"how {second}", further, before
    if first in QUESTION_WORDS:
        return "what" if first == "which" else first, rest, before
    if first in ("write", "give", "show", "tell", "list", "draft", "send") and rest.startswith("me "):
        text = f"{first} {rest[3:]}"
    return "do", text, before


@dataclass(slots=True)
class _Reading:
    """Takes a sentence's words one after the other."""

    mood: str
    said: list[str] = field(default_factory=list)
    """What counts, in its order; prepositions with a colon."""
    owners: list[str] = field(default_factory=list)
    """Whose what is said next is, the nearest last."""
    tenses: set[str] = field(default_factory=set)
    days: list[str] = field(default_factory=list)
    has_auxiliary: bool = False
    has_several: bool = False
    """Auxiliaries: then it counts where they stand."""

    def read(self, words: list[str]) -> str:
        """The sense of a sentence of these words."""
        self.has_several = sum(word in AUXILIARIES for word in words) > 1
        for place, word in enumerate(words):
            before = words[place - 1] if place else ""
            behind = words[place + 1] if place + 1 < len(words) else ""
            self._take(word, before, behind, is_last_but_one=place == len(words) - 2)
        self._say_owners()
        days = self.days if len(self.days) == 1 else [f"{day}?" for day in self.days]
        return " ".join([self.mood, *sorted(self.tenses), "/", *_sorted_between(self.said), "/", *days])

    def _take(self, word: str, before: str, behind: str, *, is_last_but_one: bool) -> None:
        if word in ARTICLES:
            if behind in UNITS_OF_TIME and before and before not in PREPOSITIONS and before not in AUXILIARIES:
                self._govern("per")
            elif (word == "the" and is_last_but_one and not self.said) or behind in _BEHIND_NO_ARTICLE:
                # What is the time: another question than what time is. And vitamin a is no article.
                self.said.append(word)
        elif word in _DOING and before not in ("", *QUESTION_WORDS) and (self.has_auxiliary or self._ends(behind)):
            # What it does, not whether it does something.
            self.said.append("do")
            self.tenses.update(_tense(word))
        elif word in AUXILIARIES:
            self._help(word)
        elif word in PREPOSITIONS:
            self._govern(PREPOSITIONS[word])
        elif word == PAUSE:
            if before[:1].isdigit() and behind[:1].isdigit():
                self.said.append(word)
        elif word == "'s":
            self.owners += [self.said.pop()] if self.said else []
        elif word in DAYS:
            self.days.append(word)
        else:
            self._say(word)

    def _say(self, word: str) -> None:
        if word in HELPERS or word in QUESTION_WORDS or word == "that":
            self._say_owners()
            self.has_auxiliary = self.has_auxiliary or word in HELPERS
            self.tenses.update(_tense(word))
        self.said.append("that" if word in ("who", "which") else word)

    def _help(self, word: str) -> None:
        self.has_auxiliary = True
        if _PRESENT.get(word, word) in ("is", "was") and self.mood != "how long":
            # Who hit him, and who was hit.
            self.tenses.add("is")
        if self.has_several:
            self._say_owners()
            self.said.append(_PRESENT.get(word, word))
        self.tenses.update(_tense(word))

    def _govern(self, governor: str) -> None:
        self._say_owners()
        self.said.append(f"{governor}:")

    def _say_owners(self) -> None:
        """Behind what is theirs, as with *of*."""
        while self.owners:
            self.said += ["of:", self.owners.pop()]

    @staticmethod
    def _ends(behind: str) -> bool:
        return behind in ("", PAUSE) or behind in PREPOSITIONS


def _tense(word: str) -> Iterable[str]:
    return (TENSES[word],) if word in TENSES else ()


def _sorted_between(said: list[str]) -> list[str]:
    """Of two things between which something is, it does not matter which is named first."""
    if said.count("between:") != 1 or said.count("and") != 1:
        return said
    start, middle = said.index("between:") + 1, said.index("and")
    end = next((place for place in range(start, len(said)) if said[place].endswith(":")), len(said))
    if not start < middle < end - 1:
        return said
    one, other = sorted((said[start:middle], said[middle + 1 : end]))
    return [*said[:start], *one, "and", *other, *said[end:]]
