"""What is looked for in texts, as data: a kind, what must stand there at least, and how places are found. Pure.

A detector sees a lump (see `lumps`): what it finds must not depend on what stands before or behind, so what it looks around for are
letters, digits and marks that never stand at a lump's border. Every pattern is bounded, and none begins in the middle of a word: there is
nothing to go back over.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from skep.gateway.guarding import checksums
from skep.gateway.models import Country, GuardKind

Place = tuple[int, int]
Find = Callable[[str], Iterator[Place]]

_L, _R = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
_GAP = r"[ \u00a0.\-\u2010-\u2015]?"
"""What may stand between groups of a number."""

_GAPS = re.compile(r"[ \u00a0.\-\u2010-\u2015]")
_MOST_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds one kind."""

    kind: GuardKind
    trigger: re.Pattern[str]
    """A lump without a match has nothing to find."""
    find: Find
    """The places, in their order; none overlaps another of the same detector."""


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[Place]:
    return (match.span() for match in pattern.finditer(text))


def _checked(pattern: re.Pattern[str], check: Callable[[str], bool], text: str) -> Iterator[Place]:
    """Matches that pass a check, which gets them without gaps."""
    at = 0
    while (match := pattern.search(text, at)) is not None:
        if check(_GAPS.sub("", match[0])):
            yield match.span()
            at = match.end()
        else:
            # What begins inside of it may be good all the same.
            at = match.start() + 1


_GROUPS = re.compile(r"(?<![A-Za-z0-9])(?<!(?<!\d)0\.)\d++(?![A-Za-z])(?:[ \u00a0\-\u2010-\u2015]\d++(?![A-Za-z]))*+")
_DIGITS = re.compile(r"\d+")


def _cards(text: str) -> Iterator[Place]:
    """Runs of groups of digits, in which a number may be followed by others, such as its date."""
    for run in _GROUPS.finditer(text):
        yield from _windows(_groups(_DIGITS, run), partial(_card, text))


def _groups(pattern: re.Pattern[str], run: re.Match[str]) -> list[Place]:
    return [(run.start() + start, run.start() + end) for start, end in _matches(pattern, run[0])]


def _card(text: str, start: int, end: int) -> Place | None:
    return (start, end) if end - start <= 30 and checksums.is_card(_GAPS.sub("", text[start:end])) else None


def _windows(groups: Sequence[Place], judge: Callable[[int, int], Place | None]) -> Iterator[Place]:
    """Of groups that follow each other, those that are one number together: from each first one the longest that is good."""
    first = 0
    while first < len(groups):
        for last in range(min(len(groups), first + _MOST_GROUPS) - 1, first - 1, -1):
            place = judge(groups[first][0], groups[last][1])
            if place is not None:
                yield place
                first = last
                break
        first += 1


_IBAN_START = re.compile(_L + r"[A-Z]{2}\d{2}")
_ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IBAN_GAPS = " \u00a0-"


def _ibans(text: str) -> Iterator[Place]:
    """As many letters and digits as the country's numbers have, with at most one gap between two of them."""
    for match in _IBAN_START.finditer(text):
        left = checksums.IBAN_LENGTHS.get(match[0][:2], 0) - 4
        found, at = [match[0]], match.end()
        while left > 0 and at < len(text):
            if text[at] in _IBAN_GAPS and text[at - 1] not in _IBAN_GAPS:
                at += 1
            elif text[at] in _ALNUM:
                found.append(text[at])
                left, at = left - 1, at + 1
            else:
                break
        ends = at == len(text) or not (text[at].isascii() and text[at].isalnum())
        if left == 0 and ends and checksums.is_iban("".join(found)):
            yield match.start(), at


_NATIONAL: tuple[tuple[Country, str, Callable[[str], bool]], ...] = (
    ("US", r"\d{3}[ \-\u2010-\u2015]\d{2}[ \-\u2010-\u2015]\d{4}", checksums.is_social_security),
    ("DE", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", checksums.is_german_tax_id),
    ("ES", r"(?:\d{8}|[XYZ][ -]?\d{7})[ -]?[A-Z]", checksums.is_spanish),
    (
        "FR",
        rf"[12]{_GAP}\d\d{_GAP}(?:0[1-9]|1[0-2]|[2-9]\d){_GAP}(?:\d\d|2[AB]){_GAP}\d{{3}}{_GAP}\d{{3}}{_GAP}\d\d",
        checksums.is_french,
    ),
    ("GB", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]", checksums.is_british),
    ("IT", r"[A-Z]{3} ?[A-Z]{3} ?\d\d[A-EHLMPRST]\d\d ?[A-Z]\d{3}[A-Z]", checksums.is_italian),
    ("PL", r"\d{11}", checksums.is_polish),
    ("NL", r"\d{9}|\d{4}\.\d\d\.\d{3}|\d{3}\.\d{3}\.\d{3}", checksums.is_dutch),
)
COUNTRIES: tuple[Country, ...] = tuple(sorted(row[0] for row in _NATIONAL))


def _national_ids(rows: Sequence[tuple[re.Pattern[str], Callable[[str], bool]]], text: str) -> Iterator[Place]:
    found = sorted(place for pattern, check in rows for place in _checked(pattern, check, text))
    end = 0
    for place in found:
        if place[0] >= end:
            yield place
            end = place[1]


_DIALLED = r"(?:\(\d{1,5}\)\d*+|\d++)"
_PHONE_GROUP = re.compile(rf"(?:\(\+\d{{1,3}}\) ?|\+)?{_DIALLED}")
_PHONE_RUN = re.compile(
    rf"(?:\(\+\d{{1,3}}\) ?|\+|(?=\()|(?<![A-Za-z0-9])){_DIALLED}(?![A-Za-z])"
    rf"(?:(?:[ \u00a0./\-\u2010-\u2015]{{1,2}}\+?|(?=\()){_DIALLED}(?![A-Za-z]))*+"
)
_AMERICAN = re.compile(r"(?:\+?1[ .\-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .\-\u2010-\u2015])\d{3}[ .\-\u2010-\u2015]\d{4}")
"""How numbers of North America are written: the groups alone tell them."""


def _phones(countries: tuple[Country, ...], text: str) -> Iterator[Place]:
    for run in _PHONE_RUN.finditer(text):
        yield from _windows(_groups(_PHONE_GROUP, run), partial(_phone, countries, text))


def _phone(countries: tuple[Country, ...], text: str, start: int, end: int) -> Place | None:
    said = text[start:end]
    return (start, end) if 7 <= sum(map(str.isdigit, said)) <= 17 and _is_phone(countries, said) else None


@lru_cache(maxsize=8192)
def _is_phone(countries: tuple[Country, ...], said: str) -> bool:
    if _AMERICAN.fullmatch(said):
        return True
    names_country = said.lstrip("(").startswith(("+", "00"))
    # Not at the top: it takes a twentieth of a second, and few need it.
    import phonenumbers as library

    for country in (None,) if names_country else countries:
        try:
            number = library.parse("+" + said.lstrip("(+0") if names_country else said, country)
        except library.NumberParseException:
            continue
        if library.is_possible_number(number) if names_country else library.is_valid_number(number):
            return True
    return False


_LETTER = r"A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_EMAIL = re.compile(
    rf"(?<![{_LETTER}])[{_LETTER}][{_LETTER}._%+'\-]{{0,63}}@"
    rf"(?:[{_LETTER}][{_LETTER}\-]{{0,62}}\.){{1,8}}[A-Za-z]{{2,24}}(?![{_LETTER}])"
)
_IPV4 = re.compile(r"(?<![A-Za-z0-9.])\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9]|\.\d)")
_IPV6 = re.compile(
    r"(?<![A-Za-z0-9:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?(?![A-Za-z0-9:])"
)


def _addresses_of_machines(text: str) -> Iterator[Place]:
    places = [*_matches(_IPV4, text), *_matches(_IPV6, text)]
    end = 0
    for place in sorted(places):
        try:
            address = ipaddress.ip_address(text[place[0] : place[1]])
        except ValueError:
            continue
        # Those of one's own machine say nothing of anybody.
        if place[0] >= end and not (address.is_loopback or address.is_unspecified):
            yield place
            end = place[1]


_LATIN = r"A-Za-z0-9\u00c0-\u024f.\-"
_WORD = rf"[A-Z\u00c0-\u00de][{_LATIN}'\u2019]{{0,30}}"
_JOIN = r"(?:de|du|des|la|le|les|del|los|las|della|dei|di|da|den|der|van|l')"
_STREETS = (
    rf"\d{{1,6}}[A-Za-z]?,? (?:{_WORD} ){{1,4}}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl"
    rf"|Square|Sq|Way|Terrace|Highway|Hwy|Parkway|Pkwy|Crescent|Close){_R}",
    rf"[A-Z\u00c0-\u00de][{_LATIN}]{{0,40}}(?:stra\u00dfe|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|plein|gracht) \d{{1,4}}(?: ?[a-z])?{_R}",
    rf"\d{{1,4}}(?: bis| ter)?,? (?:rue|avenue|boulevard|place|chemin|impasse|all\u00e9e|quai|cours) (?:{_JOIN} ){{0,3}}{_WORD}(?: {_WORD}){{0,3}}",
    rf"(?:Calle|Avenida|Plaza|Paseo|Via|Viale|Piazza|Corso|ulica|ul\.) (?:{_JOIN} ){{0,3}}{_WORD}(?: {_WORD}){{0,3}},? \d{{1,4}}[a-z]?{_R}",
    rf"P\.? ?O\.? ?Box \d{{1,6}}{_R}",
)
_STREET = re.compile(_L + "(?:" + "|".join(_STREETS) + ")")

_BLOCK_NAME = r"(?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
KEY_BLOCK_BEGIN = rf"-----BEGIN {_BLOCK_NAME}"
KEY_BLOCK = rf"{KEY_BLOCK_BEGIN}(?s:.*?)(?:-----END {_BLOCK_NAME}|\Z)"
"""A block whose end is not there is one, too."""

_CREDENTIALS = (
    r"sk-[A-Za-z0-9_\-]{16,}",  # OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), DeepSeek
    r"skep_[0-9a-z]{12}_[0-9A-Za-z]{8,}",
    r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z+/=]{16,}",  # Stripe
    r"(?:xai|nvapi|pplx|tvly|glpat|gldt|glrt|xapp|dapi)-[A-Za-z0-9_\-]{16,}",  # xAI, NVIDIA, Perplexity, Tavily, GitLab, Slack
    r"(?:gsk|hf|r8|npm|lin_api|ntn|secret|dop_v1|doo_v1|shpat|shpca|shppa|shpss|pat|rubygems)_[A-Za-z0-9]{20,}",
    r"AIza[0-9A-Za-z_\-]{35}|ya29\.[0-9A-Za-z_\-]{20,}|GOCSPX-[0-9A-Za-z_\-]{20,}",  # Google
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}",  # GitHub
    r"xox[abeoprs]-[A-Za-z0-9\-]{10,}",  # Slack
    r"pypi-[A-Za-z0-9_\-]{32,}",
    r"SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,64}",  # SendGrid
    r"(?:SK|AC)[0-9a-f]{32}",  # Twilio
    r"\d{8,10}:[A-Za-z0-9_\-]{35}",  # Telegram
    r"eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}",  # JSON Web Tokens
    r"(?i:bearer|basic)\s+[A-Za-z0-9._~+/\-]{16,}={0,2}",
)
_CREDENTIAL = re.compile(
    rf"{KEY_BLOCK}|{_L}(?:{'|'.join(_CREDENTIALS)}){_R}"
    r"|(?<=://)[A-Za-z0-9._~%+$&'*=\-]{1,64}:[A-Za-z0-9._~%+$&'*=\-]{1,128}(?=@)"
)


def detector_of(kind: GuardKind, countries: Sequence[Country] = ()) -> Detector:
    """What finds a kind of `FOUND_KINDS`; ``countries`` as a guard names them."""
    simple: dict[GuardKind, tuple[str, Find]] = {
        "email": (r"@", partial(_matches, _EMAIL)),
        "phone": (r"\d", partial(_phones, tuple(countries))),
        "card": (r"\d", _cards),
        "iban": (r"\d", _ibans),
        "national_id": (r"\d", partial(_national_ids, _ids_of(tuple(countries)))),
        "address": (r"\d", partial(_matches, _STREET)),
        "ip_address": (r"\d\.\d|:.*:", _addresses_of_machines),
        "credential": (
            r"[0-9_\-:]|(?i:bearer|basic)\s|AIza|A[KSBC][IC]A|eyJ|SG\.|ya29",
            partial(_matches, _CREDENTIAL),
        ),
    }
    trigger, find = simple[kind]
    return Detector(kind, re.compile(trigger), find)


@lru_cache(maxsize=64)
def _ids_of(countries: tuple[Country, ...]) -> tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]:
    return tuple(
        (re.compile(f"{_L}(?:{pattern}){_R}"), check)
        for country, pattern, check in _NATIONAL
        if not countries or country in countries
    )
