"""What acceptance tests stand on: the command line as a real process, with a data folder and a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Command
from tests.fixtures import database_url, empty_database_url, scratch_server

__all__ = ["database_url", "empty_database_url", "scratch_server", "skep_on"]


@pytest.fixture
def skep_on(database_url: str, tmp_path: Path) -> Command:
    """`skep`, run in an empty folder on a fresh database."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Command(tmp_path / "data", folder, database_url)
