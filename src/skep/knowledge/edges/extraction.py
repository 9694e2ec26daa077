"""Reading what a file says of others. Pure, in time proportional to the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from itertools import islice

from skep.knowledge.edges.models import Mentions
from skep.knowledge.edges.modules import ending_with, module_of, stem_of
from skep.knowledge.edges.profiles import PROFILES, Clue, Profile, Rule

MAX_NAMES = 64
"""Names kept of a file."""

MAX_IMPORTS = 64
"""Module keys kept of a file's imports."""

_MAX_MATCHES = 500
"""Imports looked at in one file."""

_MAX_NAME_BYTES = 100
_WORD_BYTES = bytes(byte if byte >= 0x80 or chr(byte).isalnum() or byte == 0x5F else 0x20 for byte in range(0x100))
"""Turns everything that is in no name into a space: splitting what comes out is three times as fast as a pattern."""
_WORD = re.compile(r"[^\W\d_]\w{2,99}")
_CODE_SPAN = re.compile(r"`([^`\n]{1,200})`")
_TEST_AFFIXES = re.compile(
    r"^(?:test_+(?P<a>\w+)|(?P<b>\w+?)[_-](?:test|tests|spec|unittest)|(?P<c>.+)\.(?:test|spec|cy)|(?P<d>\w+?)(?:Test|Tests|TestCase|Spec|Suite)"
    r"|Test(?P<e>[A-Z]\w*))$"
)

NO_MENTIONS = Mentions("", "", "")


def find_mentions(language: str, path: str, text: str, defined: Collection[str]) -> Mentions:
    """What the file at ``path`` says of others. ``language`` is the registry's, ``defined`` are the names it defines.

    What comes out is stored: with another outcome for any input goes another `CHUNKER_VERSION`.
    """
    profile = PROFILES.get(language)
    if profile is None:
        return NO_MENTIONS
    clues = list(_all_clues(profile, path, text))
    return replace(_links(profile, path, clues), names=_names(profile, text, clues, frozenset(defined)))


def find_links(language: str, path: str, text: str) -> Mentions:
    """`find_mentions` without the names: what depends on the path as well as on the text."""
    profile = PROFILES.get(language)
    return NO_MENTIONS if profile is None else _links(profile, path, _all_clues(profile, path, text))


def _all_clues(profile: Profile, path: str, text: str) -> Iterator[Clue]:
    return (clue for rule in profile.imports for clue in _clues(rule, text, path))


def _links(profile: Profile, path: str, clues: Iterable[Clue]) -> Mentions:
    module = module_of(path)
    keys = (clue.key for clue in clues if clue.key.isprintable() and clue.key not in ("", module))
    return Mentions(
        family=profile.family,
        reach="" if profile.reaches_all else profile.family,
        module=module,
        subjects=tuple(_subjects(path)) if profile.has_names and not profile.reaches_all else (),
        imports=_bounded(keys, MAX_IMPORTS),
    )


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _clues(rule: Rule, text: str, path: str) -> Iterator[Clue]:
    for match in islice(_compiled(rule.pattern).finditer(text), _MAX_MATCHES):
        start = match.start()
        if rule.head is None or rule.head.fullmatch(text, text.rfind("\n", 0, start) + 1, start):
            yield from rule.read(match, path)


def _names(profile: Profile, text: str, clues: Iterable[Clue], defined: frozenset[str]) -> tuple[str, ...]:
    if not profile.has_names:
        return ()
    given = dict.fromkeys(clue.name for clue in clues if 2 < len(clue.name) <= _MAX_NAME_BYTES)
    if profile.reaches_all:
        given |= dict.fromkeys(word for span in _CODE_SPAN.findall(text) for word in _WORD.findall(span))
    used = Counter(text.encode("utf-8", "replace").translate(_WORD_BYTES).split())
    # `sorted` is stable and a Counter in order of appearance, so the order is one of the text alone.
    frequent = sorted(filter(is_telling, used), key=used.__getitem__, reverse=True)
    names = (name for name in (*given, *(name.decode() for name in frequent)) if name not in defined)
    return _bounded(names, MAX_NAMES)


def _bounded(values: Iterable[str], limit: int) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(values), limit))


@lru_cache(maxsize=1 << 17)
def is_telling(name: bytes) -> bool:
    """Whether a name alone, without an import, says that its definition is meant: it has two words, or is capitalised."""
    if not 3 <= len(name) <= _MAX_NAME_BYTES or not name[:1].isalpha():
        return False
    if name.islower():
        return b"_" in name.strip(b"_")
    return len(name) > 3 or not name.isupper()


def _subjects(path: str) -> Iterator[str]:
    """``test_sessions.py`` tests a module named ``sessions``."""
    match = _TEST_AFFIXES.match(stem_of(path.rpartition("/")[2]))
    subject = next((group for group in match.groups() if group), "") if match else ""
    if subject:
        yield from ending_with([subject], anywhere=True)
