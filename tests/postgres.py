"""One embedded PostgreSQL for a test run, and a fresh database of it, already migrated, for each test that wants one."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from skep.store import Database, EmbeddedServer, ExternalServer, ensure_schema
from skep.store.embedded.cluster import SETTINGS

TEMPLATE = "skep_template"

_IDLE_STOP_SECONDS = 600.0
"""Ends the server also when the tests are killed before they can."""

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""No durability: nobody crashes this server. The product gives its settings on the command line, where they outrank
``alter system``, so they are replaced there. Tests of crashes and full disks run servers of their own, as shipped."""


class ScratchServer:
    """A running server that hands out databases. Sessions of the tests are those of the ordinary role ``skep``."""

    def __init__(self, home: Path) -> None:
        self._embedded = EmbeddedServer(home, idle_stop_seconds=_IDLE_STOP_SECONDS, start_timeout_seconds=60)
        self._names = itertools.count(1)
        self._admin: psycopg.Connection[tuple[object, ...]] | None = None

    def start(self) -> None:
        """Start it without durability, and make the template that `database` copies."""
        with patch.dict(SETTINGS, FAST):
            self._embedded.ensure_running()
        self._admin = psycopg.connect(**self._address("postgres", admin=True), autocommit=True)  # type: ignore[arg-type]
        assert self._admin.execute("show fsync").fetchone() == ("off",)
        # Also for commands that a test runs with fewer rights than its own; the passwords guard it all the same.
        folder = self._embedded.home / "postgres" / "socket"
        folder.chmod(0o755)
        for socket in folder.glob(".s.PGSQL.*"):
            socket.chmod(0o777)
        self.create_empty(TEMPLATE)
        asyncio.run(migrate(self.url(TEMPLATE)))

    def stop(self) -> None:
        """End it."""
        if self._admin is not None:
            self._admin.close()
        self._embedded.stop(20)

    @property
    def home(self) -> Path:
        """The data folder that the server belongs to."""
        return self._embedded.home

    @property
    def admin(self) -> psycopg.Connection[tuple[object, ...]]:
        """A superuser's connection to the database ``postgres``."""
        assert self._admin is not None
        return self._admin

    @property
    def data(self) -> Path:
        """The files of the cluster."""
        return self._embedded.home / "postgres" / "data"

    def create_empty(self, name: str) -> str:
        """A database without a schema; its URL."""
        self.admin.execute(sql.SQL("create database {} owner skep").format(sql.Identifier(name)))
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[str]:
        """A database for a while: migrated, or without a schema; its URL."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        template = "template1" if empty else TEMPLATE
        # By files, not through the log: a tenth of the time where nothing waits for the disk.
        statement = sql.SQL("create database {} owner skep template {} strategy file_copy")
        self.admin.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def url(self, name: str, *, admin: bool = False) -> str:
        """The address of a database, for ``database.url``."""
        address = self._address(name, admin=admin)
        account = f"{address['user']}:{quote(address['password'], safe='')}"
        return f"postgresql://{account}@/{name}?{urlencode({'host': address['host'], 'port': address['port']})}"

    def _address(self, name: str, *, admin: bool = False) -> dict[str, str]:
        address = self._embedded.admin_address() if admin else self._embedded.ensure_running()
        return address.conninfo() | {"dbname": name}


async def migrate(url: str) -> bool:
    """Bring a database to the present schema; whether that changed anything."""
    database = Database(ExternalServer(url))
    try:
        await database.open()
        return await ensure_schema(database)
    finally:
        await database.close()
