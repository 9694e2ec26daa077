"""Streams that are ended early."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns."""
    run_sql("0014_early_ends.sql")
