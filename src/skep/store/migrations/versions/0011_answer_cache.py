"""Answers that are given again."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add them."""
    run_sql("0011_answer_cache.sql")
