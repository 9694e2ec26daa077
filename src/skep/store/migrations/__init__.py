"""Bringing a database to the schema this code knows: plain SQL run by Alembic, under a lock."""

from __future__ import annotations

from skep.store.migrations.runner import SCHEMA_REVISION, ensure_schema, known_revisions, run_queue_schema, run_sql

__all__ = ["SCHEMA_REVISION", "ensure_schema", "known_revisions", "run_queue_schema", "run_sql"]
