"""Sums of experiments' arms."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make their tables."""
    run_sql("0016_arms.sql")
