"""Prices and windows that are known without being told: those that the package genai-prices brings along. The only place that knows it.

Nothing is fetched: the package's own updater is never started. Importing it takes 0.3 s and 30 MB, so that happens at the first
question, and not at all where every model has a price in the settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from skep.spend.models import Price, Rates, Tier
from skep.spend.prices import make_price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_NUSD = 1_000_000_000

_PARTS: Mapping[str, str] = {
    "input_mtok": "input_nusd_per_mtok",
    "output_mtok": "output_nusd_per_mtok",
    "cache_read_mtok": "cached_input_nusd_per_mtok",
    "cache_write_mtok": "cache_write_nusd_per_mtok",
    "cache_write_1h_mtok": "cache_write_1h_nusd_per_mtok",
    "output_reasoning_mtok": "reasoning_nusd_per_mtok",
    "input_audio_mtok": "input_audio_nusd_per_mtok",
    "output_audio_mtok": "output_audio_nusd_per_mtok",
    "input_image_mtok": "input_image_nusd_per_mtok",
    "output_image_mtok": "output_image_nusd_per_mtok",
    "input_mchars": "input_nusd_per_mchar",
    "audio_hours": "audio_nusd_per_hour",
    "input_audio_hours": "audio_nusd_per_hour",
}
"""Their names of what is paid for, and ours. What has no name of ours (searches) is not reckoned."""

_WITHOUT_TOKENS = frozenset({"input_nusd_per_mchar", "audio_nusd_per_hour"})
"""What is paid by one of these has no price of tokens."""


class PriceCatalogue:
    """Remembers what it was asked, for the hour in which that holds: some prices begin on a day, some hold for hours."""

    def __init__(self) -> None:
        self._hour = -1
        self._known: dict[tuple[str, str], Price | None] = {}

    def price(self, provider: str, model: str, *, moment: datetime | None = None) -> Price | None:
        """The list price of a provider's model (``openai``, ``gpt-4o``) now or at a moment; None when it is not known."""
        moment = moment or datetime.now(UTC)
        hour = int(moment.timestamp()) // 3600
        if hour != self._hour:
            self._hour = hour
            self._known.clear()
        key = (provider, model)
        if key not in self._known:
            found = _look_up(provider, model)
            self._known[key] = None if found is None else to_price(found.get_prices(moment))
        return self._known[key]

    def context_window(self, provider: str, model: str) -> int | None:
        """How many tokens a provider's model can have before it, as the list says; None when that is not known."""
        found = _look_up(provider, model)
        return None if found is None or not found.context_window else found.context_window


def _look_up(provider: str, model: str) -> ModelInfo | None:
    from genai_prices.data_snapshot import get_snapshot  # lazy: see the module

    try:
        return get_snapshot().find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return None


def to_price(listed: ModelPrice) -> Price | None:
    """Their price as one of ours; None when it does not say what tokens cost, nor what is paid in their place."""
    parts = {ours: value for theirs, ours in _PARTS.items() if (value := getattr(listed, theirs, None)) is not None}
    if "input_nusd_per_mtok" not in parts:
        if not _WITHOUT_TOKENS & parts.keys():
            return None
        parts["input_nusd_per_mtok"] = Decimal(0)
    parts.setdefault("output_nusd_per_mtok", Decimal(0))  # embeddings put nothing out
    starts = sorted({tier.start for value in parts.values() for tier in getattr(value, "tiers", ())})
    per_request = getattr(listed, "requests_kcount", None)
    return make_price(
        _rates(parts, 0),
        [Tier(start, _rates(parts, start + 1)) for start in starts],
        request_nusd=0 if per_request is None else _nusd(_at(per_request, 0) / 1000),
    )


def _rates(parts: Mapping[str, Decimal | TieredPrices], input_tokens: int) -> Rates:
    return Rates(**{name: _nusd(_at(value, input_tokens)) for name, value in parts.items()})


def _at(value: Decimal | TieredPrices, input_tokens: int) -> Decimal:
    """The rate of a call with so many input tokens: a tier begins above its start."""
    if isinstance(value, Decimal):
        return value
    reached: Iterable[Decimal] = (tier.price for tier in reversed(value.tiers) if input_tokens > tier.start)
    return next(iter(reached), value.base)


def _nusd(usd: Decimal) -> int:
    """Nano-dollars; what is finer is rounded up."""
    return math.ceil(usd * _NUSD)
