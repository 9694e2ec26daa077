"""Budgets, limits, their windows and leases, and the ledger of model calls."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create them."""
    run_sql("0002_spend.sql")
