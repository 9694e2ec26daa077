"""What calls about pictures and sound use."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add it."""
    run_sql("0018_media.sql")
