"""In which order the routes of a model are tried. Pure; chance comes from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from skep.gateway.media import price_of_media
from skep.gateway.models import Route
from skep.gateway.requests import TOOLS_TOKENS, Known
from skep.gateway.usage import counted
from skep.spend import Usage, cost_nusd

USUAL_OUTPUT_TOKENS = 500
"""What a call is taken to put out that names no bound, where routes are compared by cost."""

TAU_SECONDS = 10.0
"""Older answers count less: after so long, a third."""

_MOST_SHARE = 0.99

FORGET_SECONDS = 60.0
"""What is known of a route that nobody takes grows smaller, so that it is tried again: after so long, to a third."""

LEAST_SECONDS = 0.001
"""Below, answers are equally quick; then what is under way decides."""

Chance = Callable[[], float]
"""From 0 to 1, without 1."""


class Latency:
    """How long a route takes: a mean that follows a slower answer at once and a quicker one slowly, times what is under way (peak EWMA,
    as in Finagle: https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded).
    """

    __slots__ = ("_at", "_seconds")

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._at = 0.0

    def took(self, seconds: float, now: float) -> None:
        """An attempt came to a good end."""
        known = self._seconds
        if known is None or seconds >= known:
            self._seconds = seconds
        else:
            # Where many answers come at the same moment each counts a little.
            share = min(_MOST_SHARE, math.exp(-(now - self._at) / TAU_SECONDS))
            self._seconds = known * share + seconds * (1 - share)
        self._at = now

    def seconds(self, now: float) -> float | None:
        """The mean; None when nothing is known."""
        if self._seconds is None:
            return None
        return self._seconds * math.exp(-max(0.0, now - self._at) / FORGET_SECONDS)


def load_of(seconds: float | None, pending: int) -> float:
    """What stands against taking a route, in seconds; of one of which nothing is known, only what is under way."""
    return max(LEAST_SECONDS, seconds or 0.0) * (pending + 1)


def by_weight(routes: Sequence[Route], chance: Chance) -> list[Route]:
    """By chance: each is first as often as its weight says, and so on among the rest. Weight 0: only after all others.

    Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    """
    keys = {route.name: chance() ** (1 / route.weight) if route.weight > 0 else -1.0 for route in routes}
    return sorted(routes, key=lambda route: -keys[route.name])


def by_load(routes: Sequence[Route], loads: Sequence[float], chance: Chance) -> list[Route]:
    """The better of two that chance picks (so that not everybody runs to the same one at the same moment), then the others by load.

    Mitzenmacher, The power of two choices in randomized load balancing, 1996.
    """
    order = sorted(range(len(routes)), key=loads.__getitem__)
    if len(order) > 2:
        one = int(chance() * len(order))
        other = (one + 1 + int(chance() * (len(order) - 1))) % len(order)
        first = order.pop(min(one, other))
        order.insert(0, first)
    return [routes[index] for index in order]


def tokens_needed(known: Known) -> int | None:
    """About how many tokens of a window a call takes; None where its bytes do not tell, because pictures, files or sounds are among them."""
    if known.has_audio or known.input_tokens_at_most > len(known.body) + TOOLS_TOKENS:
        return None
    return (counted(len(known.body), 0).input_tokens or 0) + (known.output_tokens or 0) // known.choices


def by_window(routes: Sequence[Route], tokens: int | None) -> list[Route]:
    """Those first, in their order, whose windows hold so many tokens or are unknown, then the others, the largest first.

    None is left out: four bytes to a token is a guess, and a provider that cannot take the request says so for nothing.
    """
    if tokens is None:
        return list(routes)
    return sorted(routes, key=lambda route: _lacking(route.context_window, tokens))


def _lacking(window: int | None, tokens: int) -> int:
    return 0 if window is None else max(0, tokens - window)


def by_cost(routes: Sequence[Route], known: Known) -> list[Route]:
    """The cheapest for this call first; what has no known price comes last."""
    output = known.output_tokens if known.output_tokens is not None else USUAL_OUTPUT_TOKENS * known.choices
    usage = Usage(input_tokens=counted(len(known.body), 0).input_tokens, output_tokens=output)

    def cost(route: Route) -> float:
        price, used = route.price, usage
        if known.media is not None:
            price = price_of_media(route, known.media)
            used, _ = known.media.billed(Usage(), price, is_estimated=True)
        found = None if price is None else cost_nusd(price, used)
        return math.inf if found is None else found

    return sorted(routes, key=cost)
