"""Calls without a key by address, and how the gateway fares in each process."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add them."""
    run_sql("0007_gateway.sql")
