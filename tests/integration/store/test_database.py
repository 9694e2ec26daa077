"""Connections to a real server that is slow, full, gone, or back again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from skep.errors import SkepError
from skep.store import (
    Database,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseTooOldError,
    DatabaseUnavailableError,
    EmbeddedServer,
    ExternalServer,
    OwnServer,
    RightsMissingError,
    database,
    translate,
)
from tests.postgres import ScratchServer

SELECT_ONE = b"select 1"


@asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[Database]:
    made = Database(ExternalServer(url), **options)  # type: ignore[arg-type]
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that a test may kill."""
    server = EmbeddedServer(tmp_path, idle_stop_seconds=600)
    yield server
    server.stop(20)


def kill_postmaster(server: EmbeddedServer) -> None:
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server.status().pid == pid and time.monotonic() < deadline:
        time.sleep(0.02)


async def test_rows_come_as_dataclasses_and_tuples(database_url: str) -> None:
    async with opened(database_url) as base:
        assert await base.fetch_tuples(b"select 1, 'a'") == [(1, "a")]
        assert await base.fetch_one(dict, b"select 1 as one, 'a' as two") == {"one": 1, "two": "a"}
        assert await base.fetch_one(dict, b"select 1 as one where false") is None
        assert await base.execute(b"update project set name = name") == 0
        assert await base.fetch_tuples(b"select current_setting('timezone'), current_setting('application_name')") == [
            ("UTC", "skep")
        ]


async def test_a_transaction_is_all_or_nothing(database_url: str) -> None:
    insert = b"insert into project (name, key_pepper) values ('p', %s)"
    async with opened(database_url) as base:
        with pytest.raises(RuntimeError):
            await failing_transaction(base, insert)
        assert await base.fetch_tuples(b"select count(*) from project") == [(0,)]
        async with base.transaction() as connection:
            await connection.execute(insert, [bytes(32)])
        assert await base.fetch_tuples(b"select count(*) from project") == [(1,)]


async def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    async with opened(database_url, statement_timeout_seconds=0.2) as base:
        with pytest.raises(DatabaseBusyError) as failure:
            await base.fetch_tuples(b"select pg_sleep(5)")
        assert failure.value.exit_code == 4
        async with base.patient_connection() as connection:
            await connection.execute(b"select pg_sleep(0.4)")
        with pytest.raises(DatabaseBusyError):
            await base.execute(b"select pg_sleep(5)")


async def test_a_transaction_whose_owner_sleeps_does_not_hold_its_locks_for_ever(database_url: str) -> None:
    """As of a process that was stopped; its next statement fails, and nothing of it is stored."""
    insert = b"insert into project (name, key_pepper) values ('p', %s)"
    async with opened(database_url, statement_timeout_seconds=1.0) as base:
        with pytest.raises(DatabaseBusyError):
            await sleeping_transaction(base, insert)
        assert await base.fetch_tuples(b"select count(*) from project") == [(1,)]


async def failing_transaction(base: Database, insert: bytes) -> None:
    async with base.transaction() as connection:
        await connection.execute(insert, [bytes(32)])
        raise RuntimeError


async def sleeping_transaction(base: Database, insert: bytes) -> None:
    async with base.transaction() as sleeper:
        await sleeper.execute(insert, [bytes(32)])
        assert await base.execute(insert, [bytes(32)]) == 1
        await sleeper.execute(SELECT_ONE)


async def test_nobody_waits_for_a_connection_for_ever(database_url: str) -> None:
    async with (
        opened(database_url, max_connections=1, connect_timeout_seconds=0.3) as base,
        base.connection(),
    ):
        with pytest.raises(DatabaseUnavailableError, match="no connection became free"):
            await base.fetch_tuples(SELECT_ONE)


async def test_a_database_that_was_not_opened_says_so() -> None:
    base = Database(ExternalServer("postgresql://localhost/none"))
    with pytest.raises(DatabaseUnavailableError, match="not opened"):
        await base.fetch_tuples(SELECT_ONE)
    await base.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://skep:wrong@/none?host=/nonexistent",
        "postgresql://skep:wrong@127.0.0.1:1/none",
    ],
)
async def test_a_server_that_is_not_there_is_told_at_once_and_without_the_password(url: str) -> None:
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailableError) as failure:
        async with opened(url):
            pass
    assert time.monotonic() - begun < 5
    assert "wrong" not in str(failure.value) + failure.value.fix_text


async def test_a_wrong_password_is_told_without_it(database_url: str) -> None:
    head, _, tail = database_url.partition("@")
    with pytest.raises(DatabaseUnavailableError) as failure:
        async with opened(f"{head}but-wrong@{tail}"):
            pass
    assert "password authentication failed" in str(failure.value)
    assert "but-wrong" not in str(failure.value)


async def test_an_old_server_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MINIMUM_SERVER_VERSION", 990_000)
    with pytest.raises(DatabaseTooOldError) as failure:
        async with opened(database_url):
            pass
    assert failure.value.fields["version"] >= 18  # type: ignore[operator]


CASES: list[tuple[Exception, type[SkepError] | None]] = [
    (errors.DiskFull("could not extend file"), DatabaseFullError),
    (errors.QueryCanceled("canceling statement"), DatabaseBusyError),
    (errors.LockNotAvailable("lock"), DatabaseBusyError),
    (errors.IdleInTransactionSessionTimeout("terminating"), DatabaseBusyError),
    (errors.InsufficientPrivilege("permission denied"), RightsMissingError),
    (errors.AdminShutdown("terminating"), DatabaseUnavailableError),
    (errors.CannotConnectNow("starting up"), DatabaseUnavailableError),
    (psycopg.OperationalError("connection refused\nIs it running?"), DatabaseUnavailableError),
    (psycopg.InterfaceError("the connection is closed"), DatabaseUnavailableError),
    (errors.SyntaxError("at or near"), None),
    (errors.UniqueViolation("duplicate key"), None),
]


@pytest.mark.parametrize(("error", "meaning"), CASES, ids=[type(error).__name__ for error, _ in CASES])
def test_what_errors_of_the_driver_mean(error: Exception, meaning: type[SkepError] | None) -> None:
    found = translate(error, "here")
    if meaning is None:
        assert found is error
    else:
        assert type(found) is meaning
        assert "\n" not in str(found)


async def test_after_all_connections_were_cut_the_next_call_succeeds(
    database_url: str, scratch_server: ScratchServer
) -> None:
    async with opened(database_url, max_connections=4) as base:
        await asyncio.gather(*(base.fetch_tuples(b"select pg_sleep(0.1)") for _ in range(4)))
        name = database_url.rpartition("/")[2].partition("?")[0]
        scratch_server.admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
        assert await base.fetch_tuples(SELECT_ONE) == [(1,)]
        # The other connections died too; a transaction, which is never repeated, must not meet one.
        for _ in range(4):
            async with base.transaction() as connection:
                await connection.execute(SELECT_ONE)


async def test_an_embedded_server_that_was_killed_is_back_with_the_next_call(mortal: EmbeddedServer) -> None:
    base = Database(OwnServer(mortal), connect_timeout_seconds=20)
    try:
        await base.open()
        await asyncio.gather(*(base.fetch_tuples(b"select pg_sleep(0.1)") for _ in range(3)))
        await asyncio.to_thread(kill_postmaster, mortal)
        assert await base.fetch_tuples(SELECT_ONE) == [(1,)]
        await asyncio.to_thread(mortal.stop, 20)
        assert await base.fetch_tuples(SELECT_ONE) == [(1,)]
    finally:
        await base.close()


async def test_a_server_that_stays_away_is_told_and_one_that_comes_back_is_used(mortal: EmbeddedServer) -> None:
    address = await asyncio.to_thread(mortal.ensure_running)
    url = psycopg.conninfo.make_conninfo(**address.conninfo())
    async with opened(url, connect_timeout_seconds=1) as base:
        await asyncio.to_thread(mortal.stop, 20)
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(DatabaseUnavailableError):
                await base.fetch_tuples(SELECT_ONE)
            assert time.monotonic() - begun < 8
        await asyncio.to_thread(mortal.ensure_running)
        assert await eventually(base) == [(1,)]


async def eventually(base: Database) -> object:
    """The answer, once the pool has noticed."""
    for _ in range(20):
        try:
            return await base.fetch_tuples(SELECT_ONE)
        except DatabaseUnavailableError:
            await asyncio.sleep(0.2)
    raise AssertionError("it did not come back")


SERVERS = {
    "postgresql://me:secret@db.example:5433/app": "db.example:5433/app",
    "postgresql://me:secret@db.example/app?sslmode=require": "db.example:5432/app",
    "host=/run/pg dbname=app password=secret": "/run/pg:5432/app",
}


@pytest.mark.parametrize("url", SERVERS)
def test_the_name_of_a_server_has_no_password(url: str) -> None:
    server = ExternalServer(url)
    assert server.name == SERVERS[url]
    assert server.conninfo() == url
