"""What tokens cost, and what else is paid by its number. Pure integer arithmetic, rounded once per call."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from skep.spend.models import Price, Rates, Tier, Usage

MTOK = 1_000_000
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class CostPart:
    """Tokens that cost the same, or something else that is paid by its number."""

    what: str
    tokens: int
    """Or characters, or milliseconds of audio; ``what`` says which."""
    nusd_per_mtok: int
    """For ``per`` of them."""
    per: int = MTOK
    """A million; of milliseconds as many as an hour has."""


def make_price(rates: Rates, tiers: Iterable[Tier] = (), *, request_nusd: int = 0, terms: str = "") -> Price:
    """A price with its version: the first 12 hexadecimal digits of a SHA-256 over all its numbers, and its terms."""
    ordered = tuple(sorted(tiers, key=lambda tier: tier.above_input_tokens))
    numbers = repr(
        (_numbers(rates), [(tier.above_input_tokens, _numbers(tier.rates)) for tier in ordered], request_nusd)
    )
    version = hashlib.sha256((numbers + terms).encode()).hexdigest()[:12]
    return Price(rates, ordered, request_nusd, version, terms)


@lru_cache(maxsize=1024)
def price_on_terms(price: Price, terms: str, *, factor: Decimal = Decimal(1), more_nusd: int = 0) -> Price:
    """A price on other terms than those of the list: every rate of its tokens times ``factor``, and so much more for the call.

    What is finer than a nano-dollar for a million tokens is rounded up.
    """

    def times(rates: Rates) -> Rates:
        told: dict[str, Any] = {
            name: math.ceil(rate * factor) for name in Rates.__slots__ if (rate := getattr(rates, name)) is not None
        }
        return Rates(**told)

    tiers = [Tier(tier.above_input_tokens, times(tier.rates)) for tier in price.tiers]
    return make_price(times(price.rates), tiers, request_nusd=price.request_nusd + more_nusd, terms=terms)


def cost_nusd(price: Price, usage: Usage) -> int | None:
    """What a call cost, rounded half up; None when the provider did not say how much went in.

    An absent part costs nothing more than what it is a part of; an absent output is none (embeddings have none).
    """
    if usage.input_tokens is None:
        return None
    rates = _rates_for(price, usage.input_tokens)
    total = usage.input_tokens * rates.input_nusd_per_mtok
    total += (usage.output_tokens or 0) * rates.output_nusd_per_mtok
    if not is_plain(usage):
        total += _more(usage.cached_input_tokens, rates.cached_input_nusd_per_mtok, rates.input_nusd_per_mtok)
        total += _more(usage.cache_write_tokens, rates.cache_write_nusd_per_mtok, rates.input_nusd_per_mtok)
        written = _or(rates.cache_write_nusd_per_mtok, rates.input_nusd_per_mtok)
        total += _more(usage.cache_write_1h_tokens, rates.cache_write_1h_nusd_per_mtok, written)
        total += _more(usage.input_audio_tokens, rates.input_audio_nusd_per_mtok, rates.input_nusd_per_mtok)
        total += _more(usage.reasoning_tokens, rates.reasoning_nusd_per_mtok, rates.output_nusd_per_mtok)
        total += _more(usage.output_audio_tokens, rates.output_audio_nusd_per_mtok, rates.output_nusd_per_mtok)
        total += _more(usage.input_image_tokens, rates.input_image_nusd_per_mtok, rates.input_nusd_per_mtok)
        total += _more(usage.output_image_tokens, rates.output_image_nusd_per_mtok, rates.output_nusd_per_mtok)
        if usage.characters is not None or usage.audio_ms is not None:
            return price.request_nusd + _rounded(total, rates, usage.characters or 0, usage.audio_ms or 0)
    # A provider that tells parts larger than the whole must not be owed money.
    return price.request_nusd + max(0, total + MTOK // 2) // MTOK


def cost_of_many_nusd(price: Price, usage: Usage, calls: int) -> int | None:
    """What so many calls cost that used so much together, each as much as the others; None as in `cost_nusd`.

    Exact to half a nano-dollar a call, unless the price changes with the length of a request between theirs.
    """
    if usage.input_tokens is None or calls <= 0:
        return None
    rates = _rates_for(price, -(-usage.input_tokens // calls))
    return cost_nusd(dataclasses.replace(price, rates=rates, tiers=(), request_nusd=calls * price.request_nusd), usage)


def _rounded(total: int, rates: Rates, characters: int, audio_ms: int) -> int:
    """Millionths of nano-dollars, and what characters and audio cost, rounded half up once for all together."""
    total += characters * (rates.input_nusd_per_mchar or 0)
    # An hour has 18/5 millions of milliseconds.
    whole = max(0, total) * 18 + audio_ms * (rates.audio_nusd_per_hour or 0) * 5
    return (whole + 9 * MTOK) // (18 * MTOK)


def cost_parts(price: Price, usage: Usage) -> list[CostPart]:
    """What `cost_nusd` adds up, each kind of token with its rate; those without a rate of their own are part of another."""
    if usage.input_tokens is None:
        return []
    rates = _rates_for(price, usage.input_tokens)
    hour = 0 if rates.cache_write_1h_nusd_per_mtok is None else usage.cache_write_1h_tokens or 0
    entry = [
        ("cached input", usage.cached_input_tokens, rates.cached_input_nusd_per_mtok),
        ("cache write", (usage.cache_write_tokens or 0) - hour, rates.cache_write_nusd_per_mtok),
        ("cache write for an hour", hour, rates.cache_write_1h_nusd_per_mtok),
        ("input audio", usage.input_audio_tokens, rates.input_audio_nusd_per_mtok),
        ("input image", usage.input_image_tokens, rates.input_image_nusd_per_mtok),
    ]
    exit_ = [
        ("reasoning", usage.reasoning_tokens, rates.reasoning_nusd_per_mtok),
        ("output audio", usage.output_audio_tokens, rates.output_audio_nusd_per_mtok),
        ("output image", usage.output_image_tokens, rates.output_image_nusd_per_mtok),
    ]
    found = []
    for whole, tokens, rate, parts in (
        ("input", usage.input_tokens, rates.input_nusd_per_mtok, entry),
        ("output", usage.output_tokens or 0, rates.output_nusd_per_mtok, exit_),
    ):
        own = [CostPart(what, part, own_rate) for what, part, own_rate in parts if part and own_rate is not None]
        found += [CostPart(whole, tokens - sum(part.tokens for part in own), rate), *own]
    if rates.input_nusd_per_mchar is not None:
        found.append(CostPart("characters", usage.characters or 0, rates.input_nusd_per_mchar))
    if rates.audio_nusd_per_hour is not None:
        found.append(CostPart("ms of audio", usage.audio_ms or 0, rates.audio_nusd_per_hour, _HOUR_MS))
    return [part for part in found if part.tokens]


def price_facts(price: Price) -> dict[str, Any]:
    """A price as the ledger keeps it: its numbers, without its version."""
    facts = dataclasses.asdict(price)
    del facts["version"]
    return facts


def price_of_facts(facts: Mapping[str, Any]) -> Price:
    """The price behind what `price_facts` made."""
    tiers = [Tier(tier["above_input_tokens"], Rates(**tier["rates"])) for tier in facts["tiers"]]
    return make_price(Rates(**facts["rates"]), tiers, request_nusd=facts["request_nusd"], terms=facts.get("terms", ""))


def worst_cost_nusd(
    price: Price, input_tokens: int, output_tokens: int, *, has_audio: bool = False, keeps_an_hour: bool = False
) -> int:
    """The most that a call with at most so many tokens can cost: every token at the dearest rate it may have. Rounded up."""
    if not price.tiers:
        worst = input_tokens * _dearest_input(price.rates, has_audio=has_audio, keeps_an_hour=keeps_an_hour)
        worst += output_tokens * _dearest_output(price.rates, has_audio=has_audio)
        return price.request_nusd - (-worst // MTOK)
    candidates = [price.rates, *(tier.rates for tier in price.tiers if input_tokens > tier.above_input_tokens)]
    worst = max(
        input_tokens * _dearest_input(rates, has_audio=has_audio, keeps_an_hour=keeps_an_hour)
        + output_tokens * _dearest_output(rates, has_audio=has_audio)
        for rates in candidates
    )
    return price.request_nusd - (-worst // MTOK)


def worst_units_nusd(price: Price, characters: int, audio_ms: int) -> int:
    """The most that so much costs besides tokens. Rounded up."""
    every = [price.rates, *(tier.rates for tier in price.tiers)]
    spoken = characters * max(rates.input_nusd_per_mchar or 0 for rates in every)
    heard = audio_ms * max(rates.audio_nusd_per_hour or 0 for rates in every)
    return -(-spoken // MTOK) - (-heard // _HOUR_MS)


def is_plain(usage: Usage) -> bool:
    """Whether nothing is told but how much went in and out; so it is with most calls."""
    return (
        usage.cached_input_tokens is None
        and usage.reasoning_tokens is None
        and usage.cache_write_tokens is None
        and usage.input_audio_tokens is None
        and usage.output_audio_tokens is None
        and usage.cache_write_1h_tokens is None
        and usage.input_image_tokens is None
        and usage.output_image_tokens is None
        and usage.characters is None
        and usage.audio_ms is None
    )


def _rates_for(price: Price, input_tokens: int) -> Rates:
    rates = price.rates
    for tier in price.tiers:
        if input_tokens <= tier.above_input_tokens:
            break
        rates = tier.rates
    return rates


def _dearest_input(rates: Rates, *, has_audio: bool, keeps_an_hour: bool) -> int:
    audio = rates.input_audio_nusd_per_mtok if has_audio else None
    hour = rates.cache_write_1h_nusd_per_mtok if keeps_an_hour else None
    return max(
        rates.input_nusd_per_mtok,
        rates.cached_input_nusd_per_mtok or 0,
        rates.cache_write_nusd_per_mtok or 0,
        rates.input_image_nusd_per_mtok or 0,
        audio or 0,
        hour or 0,
    )


def _dearest_output(rates: Rates, *, has_audio: bool) -> int:
    audio = rates.output_audio_nusd_per_mtok if has_audio else None
    return max(
        rates.output_nusd_per_mtok,
        rates.reasoning_nusd_per_mtok or 0,
        rates.output_image_nusd_per_mtok or 0,
        audio or 0,
    )


def _more(tokens: int | None, rate: int | None, whole_rate: int) -> int:
    """How much more (or less) a part costs than what was counted for it with the whole."""
    return 0 if not tokens or rate is None else tokens * (rate - whole_rate)


def _or(rate: int | None, whole_rate: int) -> int:
    return whole_rate if rate is None else rate


def _numbers(rates: Rates) -> tuple[int | str | None, ...]:
    later = {name: rate for name in _LATER_RATES if (rate := getattr(rates, name)) is not None}
    hour = rates.cache_write_1h_nusd_per_mtok
    return (
        rates.input_nusd_per_mtok,
        rates.output_nusd_per_mtok,
        rates.cached_input_nusd_per_mtok,
        rates.cache_write_nusd_per_mtok,
        rates.reasoning_nusd_per_mtok,
        rates.input_audio_nusd_per_mtok,
        rates.output_audio_nusd_per_mtok,
        # Prices without it keep the version that they had before there was one.
        *(() if hour is None else (hour,)),
        *(part for pair in later.items() for part in pair),
    )


_LATER_RATES = (
    "input_image_nusd_per_mtok",
    "output_image_nusd_per_mtok",
    "input_nusd_per_mchar",
    "audio_nusd_per_hour",
)
