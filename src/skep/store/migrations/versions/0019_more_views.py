"""Views of routes, streams, failures and privacy."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make them."""
    run_sql("0019_more_views.sql")
