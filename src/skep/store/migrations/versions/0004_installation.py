"""Which database this is, and which processes go by the rules as they are."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add it."""
    run_sql("0004_installation.sql")
