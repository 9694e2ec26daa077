"""Whether a number can be what it looks like: check digits and the forms of numbers. Pure. Separators are gone before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_CARD_FORMS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-59]|[689]\d)\d{11,16}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|62\d{14,17}|35(?:2[89]|[3-8]\d)\d{12,15}|(?:50|5[6-9]|6\d)\d{10,17}"
)
"""The issuers' numbers and lengths (ISO/IEC 7812; Visa, Mastercard, American Express, Diners, Discover, UnionPay, JCB, Maestro)."""

IBAN_LENGTHS: Mapping[str, int] = {
    entry[:2]: int(entry[2:])
    for entry in [
        "AD24",
        "AE23",
        "AL28",
        "AT20",
        "AZ28",
        "BA20",
        "BE16",
        "BG22",
        "BH22",
        "BI27",
        "BR29",
        "BY28",
        "CH21",
        "CR22",
        "CY28",
        "CZ24",
        "DE22",
        "DJ27",
        "DK18",
        "DO28",
        "EE20",
        "EG29",
        "ES24",
        "FI18",
        "FK18",
        "FO18",
        "FR27",
        "GB22",
        "GE22",
        "GI23",
        "GL18",
        "GR27",
        "GT28",
        "HN28",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IQ23",
        "IS26",
        "IT27",
        "JO30",
        "KW30",
        "KZ20",
        "LB28",
        "LC32",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "LY25",
        "MC27",
        "MD24",
        "ME22",
        "MK19",
        "MN20",
        "MR27",
        "MT31",
        "MU30",
        "NI28",
        "NL18",
        "NO15",
        "OM23",
        "PK24",
        "PL28",
        "PS29",
        "PT25",
        "QA29",
        "RO24",
        "RS22",
        "RU33",
        "SA24",
        "SC31",
        "SD18",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "SO23",
        "ST25",
        "SV28",
        "TL23",
        "TN24",
        "TR26",
        "UA29",
        "VA22",
        "VG24",
        "XK20",
        "YE30",
    ]
}
"""By country (the registry of ISO 13616)."""

_SPANISH_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_ITALIAN_LAST = (10, 22, 25, 24, 23)
_ITALIAN_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            *_ITALIAN_LAST,
        ),
        strict=True,
    )
)
_BRITISH_UNUSED = ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")
_PESEL_WEIGHTS = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)


def is_card(digits: str) -> bool:
    """A payment card's number: an issuer's form, and Luhn's check digit."""
    return _CARD_FORMS.fullmatch(digits) is not None and luhn(digits)


def luhn(digits: str) -> bool:
    """Luhn's formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """An account's number: its country's length, and 1 modulo 97 (ISO 13616)."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1


def is_social_security(digits: str) -> bool:
    """United States: no check digit, but numbers that are never given out."""
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def is_german_tax_id(digits: str) -> bool:
    """Germany: one digit of the first ten stands there twice or three times; ISO 7064, MOD 11,10."""
    often = Counter(digits[:10]).most_common(2)
    if digits[0] == "0" or often[0][1] not in (2, 3) or often[1][1] > 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_spanish(text: str) -> bool:
    """Spain: DNI and NIE, by their letter."""
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return _SPANISH_LETTERS[int(number) % 23] == text[-1]


def is_french(text: str) -> bool:
    """France: NIR, by its key; Corsica's departments count as 19 and 18."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def is_british(text: str) -> bool:
    """United Kingdom: National Insurance numbers have no check digit, but prefixes that are not used."""
    return text[:2] not in _BRITISH_UNUSED


def is_italian(text: str) -> bool:
    """Italy: codice fiscale, by its last letter."""
    total = sum(
        _ITALIAN_ODD[each] if place % 2 == 0 else int(each, 36) - (0 if each.isdigit() else 10)
        for place, each in enumerate(text[:15])
    )
    return chr(ord("A") + total % 26) == text[15]


def is_polish(digits: str) -> bool:
    """Poland: PESEL, with a month (its century in the tens) and a day that there are."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, _PESEL_WEIGHTS, strict=False))
    return (
        1 <= int(digits[2:4]) % 20 <= 12 and 1 <= int(digits[4:6]) <= 31 and (10 - total % 10) % 10 == int(digits[10])
    )


def is_dutch(digits: str) -> bool:
    """Netherlands: BSN, by the eleven-test."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True))
    return total % 11 == 0 and digits.strip("0") != ""
