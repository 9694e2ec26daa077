"""${message}."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """${message}."""
    run_sql("${up_revision}_.sql")
