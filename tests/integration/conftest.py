"""What integration tests stand on: a real PostgreSQL, a database of their own, and an opened Skep on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures import database_url, empty_database_url, scratch_server
from tests.workspace import Workspace, open_workspace

__all__ = ["database_url", "empty_database_url", "scratch_server", "workspace"]


@pytest.fixture
async def workspace(database_url: str, tmp_path: Path) -> AsyncIterator[Workspace]:
    """An empty folder to index, and Skep's services, opened on a fresh database."""
    async with open_workspace(database_url, tmp_path) as opened:
        yield opened
