"""Dollars as people write them, and nano-dollars as they are counted. Pure."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from skep.spend.interfaces import RuleInvalidError

NUSD_PER_USD = 10**9

_MOST_DIGITS = 30


def usd_to_nusd(usd: Decimal) -> int:
    """Nano-dollars. Raises RuleInvalidError for what is no amount, or finer than they are."""
    _, digits, exponent = usd.as_tuple()
    if not isinstance(exponent, int):
        raise RuleInvalidError(reason=f"{usd} is no amount of dollars")
    # Looked at before it is computed with: a short text can name a number with a million digits.
    if not -_MOST_DIGITS <= exponent <= _MOST_DIGITS or len(digits) > _MOST_DIGITS:
        raise RuleInvalidError(reason="the amount of dollars has too many digits")
    nusd = Fraction(usd) * NUSD_PER_USD
    if nusd.denominator != 1:
        raise RuleInvalidError(reason=f"{usd} dollars are no whole number of nano-dollars")
    return int(nusd)


def parse_usd(text: str) -> Decimal:
    """An amount of dollars as it is written: ``5``, ``0.25``. Raises ValueError."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount of dollars") from None


def usd_text(nusd: int) -> str:
    """An amount as people read it, exact: at least two digits after the point, at most nine."""
    whole, rest = divmod(abs(nusd), NUSD_PER_USD)
    cents = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nusd < 0 else ''}{whole}.{cents}"
