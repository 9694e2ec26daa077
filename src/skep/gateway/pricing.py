"""Prices as the settings write them, and what a call costs by them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from skep.gateway.media import ANY_IMAGE, AUTO
from skep.gateway.models import Route
from skep.gateway.tables import Table
from skep.spend import Price, Rates, make_price, price_on_terms

FREE = make_price(Rates(input_nusd_per_mtok=0, output_nusd_per_mtok=0))
"""Of what is answered from here, and of what no provider charges for."""

_PARTS = (
    *("cached_input", "cache_write", "cache_write_1h", "reasoning", "input_audio", "output_audio"),
    *("input_image", "output_image"),
)

LISTED_TIERS = frozenset({"auto", "default", "standard", "standard_only", "on_demand"})
"""Tiers of service whose tokens cost what the price list says. ``auto`` is what the project is set to; the answer says which."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is paid beside the price of tokens."""

    tiers: Mapping[str, Decimal]
    search_nusd: int | None
    image_prices: Mapping[str, int]


def read_terms(table: Table) -> Terms:
    """The table's ``service_tiers``, ``search_usd``, ``image_usd`` and ``image_usd_by``."""
    inner, images = table.table("service_tiers"), table.table("image_usd_by")
    prices = {} if images is None else _read_images(images)
    usual = table.money("image_usd")
    if usual is not None:
        prices[ANY_IMAGE] = usual
    return Terms({} if inner is None else _read_tiers(inner), table.money("search_usd"), prices)


_IMAGE = re.compile(r"(?:[a-z]{1,20}|[a-z]{1,20} [1-9][0-9]{0,4}x[1-9][0-9]{0,4}|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})")


def _read_images(table: Table) -> dict[str, int]:
    prices = {}
    for name in table.names():
        price = table.money(name)
        if _IMAGE.fullmatch(name) is None or AUTO in name.split():
            table.problem(name, "a price is for a size, a quality or both: 1024x1024, hd, or hd 1024x1024")
        elif price is not None:
            prices[name] = price
    return prices


def _read_tiers(table: Table) -> dict[str, Decimal]:
    tiers = {}
    for name in table.names():
        factor = table.factor(name)
        if name in LISTED_TIERS:
            table.problem(name, "costs what price says; only other tiers have a multiple of it")
        elif factor is not None:
            tiers[name] = factor
    return tiers


def price_of_tokens(price: Price | None) -> Price | None:
    """A price, as far as it says what tokens cost; None for one of characters or hours alone: what a chat costs there nobody knows."""
    if price is None:
        return None
    rates = price.rates
    has_units = rates.input_nusd_per_mchar is not None or rates.audio_nusd_per_hour is not None
    return None if has_units and not rates.input_nusd_per_mtok and not rates.output_nusd_per_mtok else price


def price_of_call(route: Route, service_tier: str | None, *, searches: bool) -> Price | None:
    """What a call by this route costs, which a tier served and which had the web searched; None when that is not known."""
    price = price_of_tokens(route.price)
    if price is None:
        return None
    terms, factor, more = [], Decimal(1), 0
    if service_tier is not None and service_tier not in LISTED_TIERS:
        found = dict(route.service_tiers).get(service_tier)
        if found is None:
            return None
        factor = found
        terms.append(f"service_tier {service_tier}")
    if searches:
        if route.search_nusd is None:
            return None
        more = route.search_nusd
        terms.append("web_search_options")
    return price_on_terms(price, ", ".join(terms), factor=factor, more_nusd=more) if terms else price


def price_of_ranking(route: Route, searches: int) -> Price | None:
    """What a call by this route costs that has documents ranked, in so many searches; None when that is not known.

    Where the price of a search is known, tokens cost nothing.
    """
    if route.search_nusd is None:
        return route.price
    no_tokens = Rates(input_nusd_per_mtok=0, output_nusd_per_mtok=0)
    return make_price(no_tokens, request_nusd=searches * route.search_nusd, terms=f"{searches} searches")


def read_price(table: Table) -> Price | None:
    """The table's ``price``; None where there is none, or a wrong one.

    Input and output must be named, unless something else is paid in their place; the parts may be.
    """
    inner = table.table("price")
    if inner is None:
        return None
    characters, hour = inner.money("input_usd_per_mchar"), inner.money("audio_usd_per_hour")
    has_tokens = characters is None and hour is None
    entry = inner.money("input_usd_per_mtok", required=has_tokens)
    output = inner.money("output_usd_per_mtok", required=has_tokens)
    parts = {f"{part}_nusd_per_mtok": inner.money(f"{part}_usd_per_mtok") for part in _PARTS}
    request = inner.money("request_usd")
    inner.finish()
    if has_tokens and (entry is None or output is None):
        return None
    rates = Rates(entry or 0, output or 0, **parts, input_nusd_per_mchar=characters, audio_nusd_per_hour=hour)
    return make_price(rates, request_nusd=request or 0)
