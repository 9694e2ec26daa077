"""Projects, keys, collections, documents, chunks, the change log and jobs."""

from __future__ import annotations

from skep.store.migrations import run_queue_schema, run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables, and those of the job queue in a schema of their own."""
    run_sql("0001_foundation.sql")
    run_queue_schema()
