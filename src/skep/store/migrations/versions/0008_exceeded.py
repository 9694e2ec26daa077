"""Which soft and shadow rules calls exceeded."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add it."""
    run_sql("0008_exceeded.sql")
