"""How a database comes to the schema this code knows.

Every process asks when it opens the database; the common answer costs one statement and no import. Alembic (0.3 s to
import) is loaded only when something has to change.
"""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path

import psycopg
from psycopg import errors

from skep.store.database import Database, translate
from skep.store.interfaces import (
    MINIMUM_VECTOR_VERSION,
    RightsMissingError,
    SchemaTooNewError,
    VectorForbiddenError,
    VectorMissingError,
)
from skep.store.queries import Queries

SCHEMA_REVISION = "0020"
"""The newest migration in ``versions/``; a test compares the two."""

QUEUE_SCHEMA = "procrastinate"
"""PostgreSQL schema that holds the job queue's own tables."""

_LOCK_KEY = 7_117_001
"""Advisory lock of the migrations; any number that nothing else in the database uses."""

_queries = Queries("skep.store")


async def ensure_schema(database: Database) -> bool:
    """Create or update the schema if it is not the one this code knows; True if something was changed.

    Two processes at once are fine: the second waits for the first and finds nothing to do.

    Raises SchemaTooNewError, VectorForbiddenError, VectorMissingError, RightsMissingError, or DatabaseUnavailableError.
    """
    found = await _current_revision(database)
    if found == SCHEMA_REVISION:
        return False
    if found is not None and found not in known_revisions():
        raise SchemaTooNewError(where=database.where, found=found, known=SCHEMA_REVISION)
    conninfo = await database.conninfo()
    await asyncio.to_thread(_upgrade, conninfo, database.where)
    return True


def known_revisions() -> tuple[str, ...]:
    """The revisions of ``versions/``, oldest first, from the names of their files."""
    names = (entry.name for entry in resources.files("skep.store.migrations").joinpath("versions").iterdir())
    return tuple(sorted(name.split("_")[0] for name in names if name.endswith(".py") and name[0].isdigit()))


def run_sql(name: str) -> None:
    """Run one of the SQL files beside the migrations, inside the migration's transaction."""
    _run_script(resources.files("skep.store.migrations").joinpath("versions", name).read_text(encoding="utf-8"))


def run_queue_schema() -> None:
    """Create the job queue's own tables in a schema of their own, as its library ships them."""
    import procrastinate.schema  # lazy: heavy, and only migrations need it

    _run_script(
        f"create schema {QUEUE_SCHEMA}; set local search_path to {QUEUE_SCHEMA};"
        + procrastinate.schema.SchemaManager.get_schema()
        + "; set local search_path to public;"
    )


def _run_script(script: str) -> None:
    from alembic import op  # lazy: heavy, and only migrations need it

    # Several statements in one string need the driver itself: SQLAlchemy would read `:name` and `%` in it.
    op.get_bind().connection.cursor().execute(script.encode())


async def _current_revision(database: Database) -> str | None:
    async with database.connection() as connection:
        try:
            row = await (await connection.execute(_queries["fetch_schema_revision"])).fetchone()
        except errors.UndefinedTable:
            return None
    return str(row[0]) if row else None


def _upgrade(conninfo: str, where: str) -> None:
    # Lazy: 0.3 s that only the process which changes the schema has to pay.
    import sqlalchemy
    from alembic import command
    from alembic.config import Config

    session = psycopg.conninfo.conninfo_to_dict(conninfo)
    role, name = session.get("user", "the role"), session.get("dbname", "the database")
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=sqlalchemy.NullPool
    )
    try:
        with psycopg.connect(conninfo, autocommit=True) as guard:
            # Waiting for another process's migration is no slow statement.
            guard.execute(_queries["disable_statement_timeout"])
            guard.execute(_queries["lock_migrations"], {"key": _LOCK_KEY})
            if not _has_vector(guard, where):
                try:
                    guard.execute(_queries["create_vector_extension"])
                except errors.InsufficientPrivilege as error:
                    reason = error.diag.message_primary
                    raise VectorForbiddenError(where=where, role=role, database=name, reason=reason) from error
            with engine.connect() as connection:
                connection.connection.cursor().execute(_queries["disable_statement_timeout"])
                connection.commit()
                config = Config()
                config.set_main_option("script_location", str(Path(__file__).parent))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except errors.InsufficientPrivilege as error:
        raise RightsMissingError(where=where, role=role, database=name, reason=str(error).strip()) from error
    except sqlalchemy.exc.DBAPIError as error:
        cause = error.orig if isinstance(error.orig, Exception) else error
        if isinstance(cause, errors.InsufficientPrivilege):
            raise RightsMissingError(where=where, role=role, database=name, reason=str(cause).strip()) from error
        raise translate(cause, where) from error
    except psycopg.OperationalError as error:
        raise translate(error, where) from error
    finally:
        engine.dispose()


def _has_vector(connection: psycopg.Connection[tuple[object, ...]], where: str) -> bool:
    """Whether the database has pgvector already. Raises VectorMissingError where it cannot have it, or an old one."""
    row = connection.execute(_queries["fetch_vector_version"]).fetchone()
    installed, available = row if row is not None else (None, None)
    version = installed or available
    if version is None:
        raise VectorMissingError(where=where, reason="it is not installed on the server")
    if tuple(int(part) for part in str(version).split(".")[:3]) < MINIMUM_VECTOR_VERSION:
        raise VectorMissingError(where=where, reason=f"it has {version}")
    return installed is not None
