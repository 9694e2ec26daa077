"""Prices as the settings write them."""

from __future__ import annotations

from skep.gateway.tables import Table
from skep.spend import Price, Rates, make_price


def read_price(table: Table) -> tuple[Price | None, bool]:
    """The table's ``price``, and whether anything stands there. Input and output must be named, the parts may be."""
    inner = table.table("price")
    if inner is None:
        return None, table.has("price")
    entry = inner.money("input_usd_per_mtok", required=True)
    output = inner.money("output_usd_per_mtok", required=True)
    parts = {
        f"{part}_nusd_per_mtok": inner.money(f"{part}_usd_per_mtok")
        for part in ("cached_input", "cache_write", "reasoning", "input_audio", "output_audio")
    }
    request = inner.money("request_usd")
    inner.finish()
    if entry is None or output is None:
        return None, True
    rates = Rates(input_nusd_per_mtok=entry, output_nusd_per_mtok=output, **parts)
    return make_price(rates, request_nusd=request or 0), True
