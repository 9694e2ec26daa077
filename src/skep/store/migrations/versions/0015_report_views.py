"""Views for tools that look at the ledger."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make them."""
    run_sql("0015_report_views.sql")
