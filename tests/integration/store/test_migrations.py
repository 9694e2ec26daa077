"""A database comes to the present schema from wherever it is, or is left alone with words."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import skep
from skep.store import (
    SCHEMA_REVISION,
    Queries,
    RightsMissingError,
    SchemaTooNewError,
    VectorForbiddenError,
    VectorMissingError,
)
from skep.store.embedded.binaries import choose_account, locate, reachable_by
from skep.store.migrations import known_revisions
from tests.postgres import ScratchServer, migrate

MIGRATE = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from tests.postgres import migrate
print(asyncio.run(migrate(sys.argv[1])))
"""

WITHOUT_PROJECT = {
    "address_window",
    "alembic_version",
    "gateway_process",
    "installation",
    "job_queue",
    "job_worker",
    "meter_process",
    "price",
    "rollup_due",
    "rolled_day",
}
"""Tables of ours that belong to no project."""

UNBOUND = {
    "reserve_version_ids",
    "lift_statement_timeout",
    "listen_changes",
    "vacuum_chunks",
    "vacuum_embeddings",
    "vacuum_blobs",
    "vacuum_placements",
    "vacuum_symbols",
    "vacuum_mentions",
    "vacuum_versions",
    "vacuum_documents",
    "limit_lock_wait",
    "give_vacuum_memory",
    "reset_vacuum_memory",
    "reset_lock_wait",
    "fetch_unscrubbed",
    "fetch_onlookers",
    "note_scrubbed",
    "delete_purges",
    "fetch_purged",
    "fetch_collection_ids",
    "fetch_embedding_work",
}
"""Statements of knowledge that read nothing of anybody's but numbers: the housekeeping goes through all projects."""


def name_of(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]


def dump(server: ScratchServer, url: str) -> str:
    """The schema as pg_dump writes it, without what differs from dump to dump."""
    root = reachable_by(locate(), choose_account(server.data, None))
    dumped = subprocess.run(
        [root / "bin" / "pg_dump", "--schema-only", "--no-owner", server.url(name_of(url), admin=True)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return "\n".join(line for line in dumped.splitlines() if line and not line.startswith(("--", "\\")))


async def test_the_first_migration_makes_everything_and_the_second_call_nothing(empty_database_url: str) -> None:
    assert await migrate(empty_database_url)
    assert not await migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(SCHEMA_REVISION,)]


def test_the_code_knows_its_newest_migration() -> None:
    assert known_revisions()[-1] == SCHEMA_REVISION
    folder = Path(skep.__file__).parent / "store" / "migrations" / "versions"
    for revision in known_revisions():
        (script,) = folder.glob(f"{revision}_*.py")
        assert f'revision = "{revision}"' in script.read_text()
        assert script.with_suffix(".sql").exists()


async def test_two_databases_get_the_same_schema(
    empty_database_url: str, database_url: str, scratch_server: ScratchServer
) -> None:
    """One migrated now, and one copied from a database that was migrated before."""
    await migrate(empty_database_url)
    found = dump(scratch_server, empty_database_url)
    assert "CREATE TABLE public.placement" in found
    assert found == dump(scratch_server, database_url)


async def test_processes_that_migrate_at_once_wait_for_each_other(empty_database_url: str) -> None:
    root = str(Path(__file__).parents[3])
    source = str(Path(skep.__file__).parent.parent)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MIGRATE, empty_database_url, root),
            env={"PYTHONPATH": source},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(3)
    ]
    said = [(await process.communicate())[0].decode().strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert "True" in said
    assert not await migrate(empty_database_url)


async def test_a_newer_schema_is_refused_and_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(SchemaTooNewError) as failure:
        await migrate(database_url)
    assert failure.value.fields == {
        "where": failure.value.fields["where"],
        "found": "9999",
        "known": SCHEMA_REVISION,
    }
    assert "Update this Skep" in failure.value.fix_text
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [("9999",)]


async def test_a_role_without_rights_is_told_which_are_missing(
    empty_database_url: str, scratch_server: ScratchServer
) -> None:
    name = name_of(empty_database_url)
    scratch_server.admin.execute(sql.SQL("alter database {} owner to postgres").format(sql.Identifier(name)))
    with pytest.raises(RightsMissingError) as failure:
        await migrate(empty_database_url)
    assert f"GRANT CREATE ON DATABASE {name} TO skep" in failure.value.fix_text
    with psycopg.connect(scratch_server.url(name, admin=True), autocommit=True) as admin:
        admin.execute(sql.SQL("grant create on database {} to skep").format(sql.Identifier(name)))
        admin.execute("grant create on schema public to skep")
    assert await migrate(empty_database_url)


async def test_a_role_that_may_not_add_pgvector_is_told_what_a_superuser_runs(
    empty_database_url: str, scratch_server: ScratchServer
) -> None:
    name = name_of(empty_database_url)
    with psycopg.connect(scratch_server.url(name, admin=True), autocommit=True) as admin:
        admin.execute("drop extension vector")
        with pytest.raises(VectorForbiddenError, match="permission denied to create extension") as failure:
            await migrate(empty_database_url)
        assert f"psql --dbname {name} --command 'CREATE EXTENSION vector'" in failure.value.fix_text
        admin.execute("create extension vector")
    assert await migrate(empty_database_url)


async def test_a_server_without_pgvector_is_told(empty_database_url: str, scratch_server: ScratchServer) -> None:
    name = name_of(empty_database_url)
    with psycopg.connect(scratch_server.url(name, admin=True), autocommit=True) as admin:
        admin.execute("drop extension vector")
        # What the server can install is looked for in these folders.
        admin.execute(
            sql.SQL("alter database {} set extension_control_path = '/nonexistent'").format(sql.Identifier(name))
        )
    with pytest.raises(VectorMissingError, match="not installed on the server"):
        await migrate(empty_database_url)


@pytest.mark.parametrize(
    ("version", "is_enough"), [("0.7.4", False), ("0.8.1", False), ("0.8.2", True), ("0.10.0", True)]
)
async def test_an_old_pgvector_is_told(
    empty_database_url: str, scratch_server: ScratchServer, version: str, is_enough: bool
) -> None:
    with psycopg.connect(scratch_server.url(name_of(empty_database_url), admin=True), autocommit=True) as admin:
        admin.execute("update pg_extension set extversion = %s where extname = 'vector'", [version])
    if is_enough:
        assert await migrate(empty_database_url)
    else:
        with pytest.raises(VectorMissingError, match=f"it has {version}"):
            await migrate(empty_database_url)


async def test_a_migration_that_fails_leaves_nothing(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, scratch_server: ScratchServer
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("create table job (in_the_way int)")
    with pytest.raises(psycopg.errors.DuplicateTable):
        await migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        assert set(tables) <= {("job",), ("alembic_version",)}
        connection.execute("drop table job")
    assert await migrate(empty_database_url)


async def test_every_table_has_a_project(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select t.table_name, c.is_nullable from information_schema.tables t"
            " left join information_schema.columns c on c.table_schema = t.table_schema"
            " and c.table_name = t.table_name and c.column_name = 'project_id'"
            " where t.table_schema = 'public' and t.table_type = 'BASE TABLE'"
        ).fetchall()
    assert len(rows) >= 12
    assert {name for name, nullable in rows if nullable != "NO"} == WITHOUT_PROJECT


async def test_contents_do_not_get_into_the_planners_statistics(database_url: str) -> None:
    """They would outlive an erased document, where nobody but a superuser can reach them."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select attrelid::regclass::text, attname from pg_attribute"
            " where attrelid = any(array['document', 'blob', 'chunk', 'placement', 'symbol', 'mention']::regclass[])"
            " and attnum > 0 and atttypid in ('text'::regtype, 'text[]'::regtype, 'bytea'::regtype) and attstattarget is distinct from 0"
        ).fetchall()
    assert set(rows) <= {
        ("blob", "sha256"),
        ("chunk", "sha256"),
        ("placement", "chunk_sha256"),
        ("placement", "input_sha256"),
        ("symbol", "kind"),
        ("symbol", "family"),
        ("mention", "family"),
        ("mention", "reach"),
    }


def test_every_query_of_knowledge_is_bound_to_a_project() -> None:
    queries = Queries("skep.knowledge")
    assert len(queries) > 40
    for name, statement in queries.items():
        text = statement.decode()
        assert bool(re.search(r"%\(project_id\)s", text)) is (name not in UNBOUND), name


async def test_ensure_schema_is_cheap_when_there_is_nothing_to_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    assert not await migrate(database_url)
