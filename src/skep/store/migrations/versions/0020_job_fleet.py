"""Priorities and tries of jobs, queues that can be paused, and which workers there are."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Make them."""
    run_sql("0020_job_fleet.sql")
