"""What integration tests stand on: a real PostgreSQL, a database of their own, and an opened Skep on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fixtures import database_url, empty_database_url, scratch_server
from tests.levels import LEVELS, level
from tests.warm_parsers import Nursery, warm_parsers
from tests.workspace import Workspace, open_workspace

__all__ = ["database_url", "empty_database_url", "scratch_server", "workspace"]


@pytest.fixture
async def workspace(database_url: str, tmp_path: Path) -> AsyncIterator[Workspace]:
    """An empty folder to index, and Skep's services, opened on a fresh database."""
    async with open_workspace(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """One for each process that runs tests."""
    opened = Nursery()
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(autouse=True)
def parsers(nursery: Nursery) -> Iterator[None]:
    """Parse workers that are forked instead of started. Tests that are about these processes replace this fixture."""
    if level() != LEVELS[0]:
        yield
    else:
        with warm_parsers(nursery):
            yield
