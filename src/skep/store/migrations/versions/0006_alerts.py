"""Alerts of budgets and limits, kept until they are told."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add them."""
    run_sql("0006_alerts.sql")
