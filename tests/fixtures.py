"""Fixtures that integration and acceptance tests share; their ``conftest.py`` files take them over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import ScratchServer


@pytest.fixture(scope="session")
def scratch_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchServer]:
    """One server for each process that runs tests."""
    server = ScratchServer(tmp_path_factory.mktemp("postgres"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(scratch_server: ScratchServer) -> Iterator[str]:
    """A fresh database with the present schema."""
    with scratch_server.database() as url:
        yield url


@pytest.fixture
def empty_database_url(scratch_server: ScratchServer) -> Iterator[str]:
    """A fresh database without a schema."""
    with scratch_server.database(empty=True) as url:
        yield url
