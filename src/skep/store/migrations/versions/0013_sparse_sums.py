"""Sums of the cache only where there are some."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Let them be null."""
    run_sql("0013_sparse_sums.sql")
