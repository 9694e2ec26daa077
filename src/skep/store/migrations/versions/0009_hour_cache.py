"""Input that a provider keeps for an hour."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add it."""
    run_sql("0009_hour_cache.sql")
