"""What `skep cost savings` says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from skep.cli.cost_commands import savings_text
from skep.spend import Savings, SavingsLine


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ["nothing was saved in this time"]),
        (
            [SavingsLine("json", 1, 0, "0.00", 1)],
            [
                "nothing is known to have been saved",
                "  1 call ended early (json): what that saved is not known, since the price is not",
            ],
        ),
        (
            [SavingsLine("cache", 1, 0, "0.00", 0)],
            [
                "nothing is known to have been saved",
                "  1 call answered from the cache: 0.00 USD, since it is free or has no known price",
            ],
        ),
        (
            [SavingsLine("cache", 2, 3_000_000, "0.003", 0), SavingsLine("json", 3, 1_000_000, "0.001", 1)],
            [
                "at least 0.004 USD were saved",
                "  2 calls answered from the cache: 0.003 USD",
                "  3 calls ended early (json): about 0.001 USD; of 1 it is not known",
            ],
        ),
        (
            [SavingsLine("cache", 2, 4_000_000, "0.004", 0)],
            ["0.004 USD were saved", "  2 calls answered from the cache: 0.004 USD"],
        ),
    ],
)
def test_what_is_not_known_is_not_called_nothing(lines: list[SavingsLine], told: list[str]) -> None:
    assert list(savings_text(Savings(datetime(2026, 1, 1, tzinfo=UTC), None, "0.004", lines))) == told
