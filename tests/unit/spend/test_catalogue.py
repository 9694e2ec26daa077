"""Prices of the package genai-prices, in our numbers, cost what they cost there."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, Tier, TieredPrices
from genai_prices.types import Usage as ListedUsage

from skep.spend import PriceCatalogue, Usage, cost_nusd
from skep.spend.catalogue import to_price

MOMENT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("openai", "text-embedding-3-small"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),
        ("mistral", "mistral-small-latest"),
    ],
)
@pytest.mark.parametrize("tokens", [(1000, 200, 100), (250_000, 1000, 9_999), (200_000, 0, 0)])
def test_a_call_costs_what_the_package_says(provider: str, model: str, tokens: tuple[int, int, int]) -> None:
    inside, cached, outside = tokens
    price = PriceCatalogue().price(provider, model, moment=MOMENT)
    assert price is not None
    _, listed = get_snapshot().find_provider_model(model, None, provider, None)
    expected = listed.get_prices(MOMENT).calc_price(
        ListedUsage(input_tokens=inside, cache_read_tokens=cached, output_tokens=outside)
    )["total_price"]
    cost = cost_nusd(price, Usage(inside, cached_input_tokens=cached, output_tokens=outside))
    assert cost is not None
    assert abs(Decimal(cost) - expected * 10**9) < 1


def test_input_that_is_kept_for_an_hour_costs_what_the_package_says() -> None:
    price = PriceCatalogue().price("anthropic", "claude-sonnet-4-5", moment=MOMENT)
    assert price is not None
    _, listed = get_snapshot().find_provider_model("claude-sonnet-4-5", None, "anthropic", None)
    said = ListedUsage(input_tokens=1000, cache_write_tokens=700, cache_write_1h_tokens=400, output_tokens=9)
    expected = listed.get_prices(MOMENT).calc_price(said)["total_price"] * 10**9
    usage = Usage(1000, cache_write_tokens=700, cache_write_1h_tokens=400, output_tokens=9)
    assert cost_nusd(price, usage) == expected == 300 * 3000 + 300 * 3750 + 400 * 6000 + 9 * 15000


@pytest.mark.parametrize("name", [("openai", "no-such-model"), ("nobody", "gpt-4o"), ("", "")])
def test_what_is_not_listed_has_no_price(name: tuple[str, str]) -> None:
    assert PriceCatalogue().price(*name) is None
    assert PriceCatalogue().context_window(*name) is None


def test_windows_are_listed() -> None:
    assert PriceCatalogue().context_window("openai", "gpt-4o-mini-2024-07-18") == 128_000


def test_every_listed_price_can_be_read() -> None:
    models = [model for provider in get_snapshot().providers for model in provider.models]
    priced = [price for model in models if (price := to_price(model.get_prices(MOMENT))) is not None]
    assert len(models) > 500
    assert len(priced) > len(models) * 0.7
    assert all(min(price.rates.input_nusd_per_mtok, price.rates.output_nusd_per_mtok) >= 0 for price in priced)


def test_a_price_without_tokens_is_unknown_and_not_free() -> None:
    assert to_price(ModelPrice()) is None
    tiered = to_price(ModelPrice(input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(start=100, price=Decimal(2))])))
    assert tiered is not None
    assert cost_nusd(tiered, Usage(100)) == 100_000
    assert cost_nusd(tiered, Usage(101)) == 202_000


def test_the_package_is_loaded_only_when_it_is_asked() -> None:
    root = Path(__file__).parents[3]
    script = "import sys, skep.spend; print('genai_prices' in sys.modules, 'httpx2' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["False", "False"]
