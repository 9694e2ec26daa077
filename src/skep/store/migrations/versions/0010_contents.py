"""What was said in calls, apart from the ledger."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add it."""
    run_sql("0010_contents.sql")
