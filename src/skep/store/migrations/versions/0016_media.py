"""What calls about pictures and sound use."""

from __future__ import annotations

from skep.store.migrations import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add it."""
    run_sql("0016_media.sql")
