"""Models as calls are served by them: what is reckoned once, and a call as the rules of spending see it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skep.gateway.caching import seed_of
from skep.gateway.guarding import Guards, guards_of
from skep.gateway.media import price_of_media
from skep.gateway.models import Model
from skep.gateway.pricing import FREE, price_of_call, price_of_ranking
from skep.gateway.profiles import Face
from skep.gateway.requests import Known
from skep.gateway.saving import saving_of
from skep.gateway.translated import foreign_faces
from skep.spend import Ask, Caller, Price, Rates, make_price


@dataclass(frozen=True, slots=True)
class Served:
    """A model, with what is reckoned once."""

    model: Model
    dearest: Price | None
    """None when the price of a route is unknown."""
    max_output_tokens: int | None
    """The most that any of its routes puts out for one choice; None when that of one is unknown."""
    cache_seed: bytes
    """See `seed_of`."""
    foreign: Mapping[Face, frozenset[Face]]
    """See `foreign_faces`."""
    free_faces: frozenset[Face]
    """Those that none of its routes charges for."""
    guards: Guards | None
    """None: nothing is looked at."""
    in_house: Served | None
    """The same with its local routes only; None when it has none."""


def serve(model: Model) -> Served:
    """A model with what is reckoned once."""
    routes = tuple(route for route in model.routes if route.provider.is_local)
    if len(routes) == len(model.routes):
        whole = _serve(model, None)
        return replace(whole, in_house=whole)
    return _serve(model, _serve(replace(model, routes=routes), None) if routes else None)


def _serve(model: Model, in_house: Served | None) -> Served:
    bounds = [route.max_output_tokens for route in model.routes]
    known = [bound for bound in bounds if bound is not None]
    return Served(
        model=model,
        dearest=dearest([route.price for route in model.routes]),
        max_output_tokens=max(known) if len(known) == len(bounds) else None,
        cache_seed=seed_of(model),
        foreign=foreign_faces(model),
        free_faces=frozenset.intersection(*(frozenset(route.provider.profile.free_faces) for route in model.routes)),
        guards=guards_of(model.guards),
        in_house=in_house,
    )


def dearest(prices: Iterable[Price | None]) -> Price | None:
    """A price that is nowhere below any of the prices; None when one of them is unknown."""
    prices = list(prices)
    known = [price for price in prices if price is not None]
    if len(known) < len(prices) or not known:
        return None
    if len(known) == 1:
        return known[0]
    rates = [each for price in known for each in (price.rates, *(tier.rates for tier in price.tiers))]

    def most(*names: str) -> int:
        return max(getattr(each, name) or 0 for each in rates for name in names)

    entry = most(
        "input_nusd_per_mtok", "cached_input_nusd_per_mtok", "cache_write_nusd_per_mtok", "input_image_nusd_per_mtok"
    )
    output = most("output_nusd_per_mtok", "reasoning_nusd_per_mtok", "output_image_nusd_per_mtok")
    return make_price(
        Rates(
            input_nusd_per_mtok=entry,
            output_nusd_per_mtok=output,
            input_audio_nusd_per_mtok=max(entry, most("input_audio_nusd_per_mtok")),
            output_audio_nusd_per_mtok=max(output, most("output_audio_nusd_per_mtok")),
            cache_write_1h_nusd_per_mtok=max(entry, most("cache_write_1h_nusd_per_mtok")),
            input_nusd_per_mchar=most("input_nusd_per_mchar") or None,
            audio_nusd_per_hour=most("audio_nusd_per_hour") or None,
        ),
        request_nusd=max(price.request_nusd for price in known),
    )


def asking_for(model: Model, caller: Caller) -> Caller:
    """Who makes the call, with the tier of the model that is asked."""
    return caller if caller.model_tier == model.tier else replace(caller, model_tier=model.tier)


def make_ask(served: Served, caller: Caller, known: Known) -> Ask:
    """The call as the rules see it: the most that it can use and cost, by whichever route."""
    output = known.output_tokens
    if served.max_output_tokens is not None:
        most = served.max_output_tokens * known.choices
        output = most if output is None else min(output, most)
    price, dear_field = FREE if known.is_free or known.face in served.free_faces else served.dearest, None
    if known.searches_at_most:
        price = dearest([price_of_ranking(route, known.searches_at_most) for route in served.model.routes])
    if known.media is not None:
        price = dearest([price_of_media(route, known.media) for route in served.model.routes])
    if known.service_tier is not None or known.searches or known.dear_field is not None:
        price, dear_field = _asked_price(served, known)
    return Ask(
        caller=asking_for(served.model, caller),
        model=served.model.name,
        input_tokens_at_most=known.input_tokens_at_most,
        output_tokens_at_most=output,
        price=price,
        dear_field=dear_field,
        saving=saving_of(known, served.model.name, dear_field),
        face=known.face,
        stream=known.stream,
        has_audio=known.has_audio,
        keeps_an_hour=known.keeps_an_hour,
        characters_at_most=0 if known.media is None else known.media.characters,
        audio_ms_at_most=0 if known.media is None else known.media.audio_ms_at_most,
    )


def _asked_price(served: Served, known: Known) -> tuple[Price | None, str | None]:
    """The dearest price of a call that asks for other terms than those of the list, or the field that hides it."""
    routes = served.model.routes
    if served.dearest is None or known.dear_field is not None:
        return None, known.dear_field
    # A tier that is asked for may be denied: then the call costs what the list says, which may be more.
    tiers = (known.service_tier, None)
    price = dearest([price_of_call(route, tier, searches=known.searches) for route in routes for tier in tiers])
    if price is not None:
        return price, None
    is_tier = any(price_of_call(route, known.service_tier, searches=False) is None for route in routes)
    return None, "service_tier" if is_tier else "web_search_options"
