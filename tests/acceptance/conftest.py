"""What acceptance tests stand on: the command line as a real process, with a data folder and a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import Command
from tests.fixtures import database_url, empty_database_url, scratch_server

__all__ = ["database_url", "empty_database_url", "scratch_server", "skep_on"]


@pytest.fixture(autouse=True)
def close_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Client libraries leave their connections to the collector, which complains of them in whichever test comes then."""
    made: list[httpx.Client] = []
    init = httpx.Client.__init__

    def noted(client: httpx.Client, *args: Any, **more: Any) -> None:
        init(client, *args, **more)
        made.append(client)

    monkeypatch.setattr(httpx.Client, "__init__", noted)
    yield
    for client in made:
        client.close()


@pytest.fixture
def skep_on(database_url: str, tmp_path: Path) -> Command:
    """`skep`, run in an empty folder on a fresh database."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Command(tmp_path / "data", folder, database_url)
