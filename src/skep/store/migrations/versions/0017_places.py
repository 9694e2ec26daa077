"""Where calls went, and sums of what serves them."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the columns and tables."""
    run_sql("0017_places.sql")
