"""Keys and projects that stay with local providers."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns."""
    run_sql("0012_local_only.sql")
