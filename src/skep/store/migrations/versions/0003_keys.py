"""What keys may be used for, how long they live, and how other processes hear that one has changed."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it."""
    run_sql("0003_keys.sql")
