"""One pool of connections, and the only place where psycopg's errors become ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import AsyncRowFactory, class_row, tuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from skep.errors import SkepError
from skep.priority import AGAIN_SECONDS
from skep.store.interfaces import (
    MINIMUM_SERVER_VERSION,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseTooOldError,
    DatabaseUnavailableError,
    RightsMissingError,
    Server,
)
from skep.store.queries import Queries
from skep.store.silence import OwnConnection, connect, heeding_silence

_SECOND_TRY_SECONDS = 0.2
"""Before a first connection is tried once more: longer than a server takes from its last answer to giving up its lock."""

_SECOND_TRY_WITHIN_SECONDS = 3.0
"""A refusal that comes later is none: nobody was reached."""

_PRIORITY_ATTEMPTS = 5

_IDLE_TRANSACTION_MS = 60_000
"""For a database whose statements have no limit."""

_queries = Queries("skep.store")

_NO_SETTINGS: Mapping[str, str] = {}

Row = TypeVar("Row")
Parameters = Mapping[str, Any] | Sequence[Any] | None
Connection = AsyncConnection[tuple[Any, ...]]


class Database:
    """Connections to the one PostgreSQL, opened on first use.

    Every statement goes through here or through a connection lent by `connection` or `transaction`; each of them raises
    the errors of `skep.store.interfaces` instead of psycopg's. A connection that turns out to be dead (the server was
    restarted) is replaced and a single statement is sent once more; a transaction is never repeated.
    """

    def __init__(
        self,
        server: Server,
        *,
        max_connections: int = 10,
        connect_timeout_seconds: float = 10.0,
        statement_timeout_seconds: float = 60.0,
        application_name: str = "skep",
        niceness: int = 0,
        session_settings: Mapping[str, str] = _NO_SETTINGS,
    ) -> None:
        self._server = server
        self._max_connections = max_connections
        self._connect_timeout_seconds = connect_timeout_seconds
        self._statement_timeout_seconds = statement_timeout_seconds
        self._application_name = application_name
        self._niceness = niceness
        self._session_settings = session_settings
        self._pool: AsyncConnectionPool[OwnConnection] | None = None

    @property
    def _idle_transaction_ms(self) -> int:
        """After so long the server ends the transaction of a process that was stopped in the middle of it.

        Half of the time for statements, so that whoever waits for its locks gets them in time.
        """
        return round(self._statement_timeout_seconds * 500) or _IDLE_TRANSACTION_MS

    @property
    def where(self) -> str:
        """The server's name for messages, without a password."""
        return self._server.name

    async def conninfo(self) -> str:
        """A connection string to a running server, with our time-outs; may start the embedded one (seconds)."""
        base = await asyncio.to_thread(self._server.conninfo)
        ours, theirs = heeding_silence(base)
        session = {
            "statement_timeout": round(self._statement_timeout_seconds * 1000),
            "timezone": "UTC",
            "idle_in_transaction_session_timeout": self._idle_transaction_ms,
            **theirs,
            **self._session_settings,
        }
        return psycopg.conninfo.make_conninfo(
            base,
            connect_timeout=max(2, round(self._connect_timeout_seconds)),
            application_name=self._application_name,
            options=" ".join(f"-c {name}={value}" for name, value in session.items()),
            **ours,
        )

    async def open(self) -> None:
        """Connect once, so that an unreachable or too old server is told at the start.

        Raises DatabaseUnavailableError, DatabaseTooOldError, or what the server's own start-up raises.
        """
        # The first connection is made here and not by the pool, whose workers would retry in silence until a time-out.
        began = time.monotonic()
        try:
            await self._probe()
        except DatabaseUnavailableError:
            # The embedded server may have begun to stop for idleness just after we asked for it; asking again starts it.
            # One that says nothing at all is asked once: people wait for the answer.
            if time.monotonic() - began > _SECOND_TRY_WITHIN_SECONDS:
                raise
            await asyncio.sleep(_SECOND_TRY_SECONDS)
            await self._probe()
        self._pool = AsyncConnectionPool(
            self.conninfo,
            kwargs={"autocommit": True},
            connection_class=OwnConnection,
            min_size=1,
            max_size=self._max_connections,
            timeout=self._connect_timeout_seconds,
            reconnect_timeout=self._connect_timeout_seconds,
            num_workers=1,
            configure=self._configure,
            open=False,
            name="skep-database",
        )
        await self._pool.open(wait=False)

    async def _configure(self, connection: Connection) -> None:
        for _ in range(_PRIORITY_ATTEMPTS if self._niceness else 0):
            if self._server.lower_priority(connection.info.backend_pid, self._niceness):
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _probe(self) -> None:
        conninfo = await self.conninfo()
        async with self._translated(), await connect(conninfo) as probe:
            if probe.info.server_version < MINIMUM_SERVER_VERSION:
                raise DatabaseTooOldError(where=self.where, version=probe.info.server_version // 10_000)

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(timeout=2.0)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode; it returns to the pool at the end of the block."""
        if self._pool is None:
            raise DatabaseUnavailableError(where=self.where, reason="it was not opened")
        async with self._translated(), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Connection]:
        """Make a connection in autocommit mode that is not one of the pool's, for whoever keeps it for long."""
        conninfo = await self.conninfo()
        async with self._translated(), await connect(conninfo) as connection:
            yield connection

    @asynccontextmanager
    async def patient_connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode whose statements may take as long as they need."""
        async with self.connection() as connection:
            await connection.execute(_queries["disable_statement_timeout"])
            try:
                yield connection
            finally:
                if not connection.closed:
                    await connection.execute(_queries["reset_statement_timeout"])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed at the end of the block, rolled back on any exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch_all(self, row: type[Row], query: bytes, parameters: Parameters = None) -> list[Row]:
        """Every row of a statement as ``row(**columns)``."""
        return await self._fetch(class_row(row), query, parameters)

    async def fetch_one(self, row: type[Row], query: bytes, parameters: Parameters = None) -> Row | None:
        """The first row of a statement as ``row(**columns)``, or None when there is none."""
        rows = await self.fetch_all(row, query, parameters)
        return rows[0] if rows else None

    async def fetch_tuples(
        self,
        query: bytes,
        parameters: Parameters = None,
        *,
        before: tuple[bytes, Parameters] | None = None,
        is_planned_anew: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Every row of a statement as a tuple in column order.

        ``before`` is a statement and its parameters that go before it, sent together and in one transaction with it. ``is_planned_anew``: the
        statement is planned for its values each time, and never for any.
        """
        return await self._fetch(tuple_row, query, parameters, before, prepare=False if is_planned_anew else None)

    async def execute(self, query: bytes, parameters: Parameters = None) -> int:
        """Run one statement that returns nothing; the number of rows it touched."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return cursor.rowcount

    async def _fetch(
        self,
        factory: AsyncRowFactory[Row],
        query: bytes,
        parameters: Parameters,
        before: tuple[bytes, Parameters] | None = None,
        *,
        prepare: bool | None = None,
    ) -> list[Row]:
        try:
            return await self._fetch_once(factory, query, parameters, before, prepare=prepare)
        except DatabaseUnavailableError as error:
            # A connection that died while it lay in the pool is only noticed by using it. Where one died, others did:
            # they are looked for, so that whatever comes next, transactions too, gets a living one. Then once more.
            cause = error.__cause__
            if self._pool is None or isinstance(cause, PoolTimeout) or not isinstance(cause, psycopg.OperationalError):
                raise
            await self._pool.check()
            return await self._fetch_once(factory, query, parameters, before, prepare=prepare)

    async def _fetch_once(
        self,
        factory: AsyncRowFactory[Row],
        query: bytes,
        parameters: Parameters,
        before: tuple[bytes, Parameters] | None,
        *,
        prepare: bool | None,
    ) -> list[Row]:
        async with self.connection() as connection, connection.cursor(row_factory=factory) as cursor:
            if before is None:
                await cursor.execute(query, parameters, prepare=prepare)
                return await cursor.fetchall()
            # What is between two ends of a pipeline is one transaction, also in autocommit mode.
            async with connection.pipeline():
                await connection.execute(*before)
                await cursor.execute(query, parameters, prepare=prepare)
            return await cursor.fetchall()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except SkepError:
            raise
        except (psycopg.Error, PoolTimeout) as error:
            raise translate(error, self.where) from error


def translate(error: Exception, where: str) -> SkepError | Exception:
    """The error of ours that says what a psycopg error means to the user; programming errors come back unchanged."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.InsufficientResources):
        return DatabaseFullError(where=where, reason=reason)
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailableError(where=where, reason="no connection became free in time, or none could be made")
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable | errors.IdleInTransactionSessionTimeout):
        return DatabaseBusyError(where=where, limit="its time limit", reason=reason)
    if isinstance(error, errors.InsufficientPrivilege):
        return RightsMissingError(where=where, role="skep", database="skep", reason=reason)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailableError(where=where, reason=reason)
    return error
