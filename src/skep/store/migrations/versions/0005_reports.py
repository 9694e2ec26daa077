"""Histograms in the sums of calls, the way of a call through the routes, and the prices that were used."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add them."""
    run_sql("0005_reports.sql")
