"""Errors of the store, and what a place for the database is.

UnavailableError
├── DatabaseUnavailableError   it does not answer, or stopped answering
├── DatabaseBusyError          a statement or the wait for a connection took too long
├── DatabaseFullError          it has no room left to write
├── DatabaseTooOldError        it answers, but is not a PostgreSQL we can use
├── VectorForbiddenError       it lacks the pgvector extension, which only a superuser may add
├── VectorMissingError         it lacks the pgvector extension, or has an old one
└── RightsMissingError         the role may not do what Skep needs
ConflictError
└── SchemaTooNewError          a newer Skep has been here
"""

from __future__ import annotations

from typing import Protocol

from skep.errors import ConflictError, UnavailableError

MINIMUM_SERVER_VERSION = 150_000
"""PostgreSQL 15, as ``server_version_num`` counts: the oldest release that pgvector 0.8.2 and our statements are tested on."""

MINIMUM_VECTOR_VERSION = (0, 8, 2)
"""pgvector with iterative scans (0.8.0) and its security repairs (0.8.2)."""


class DatabaseUnavailableError(UnavailableError):
    """The database at {where} does not answer: {reason}"""

    fix = "Start it, or look at `skep doctor`; a database of your own is named by SKEP_DATABASE_URL."


class DatabaseBusyError(UnavailableError):
    """The database at {where} took longer than {limit}: {reason}"""

    fix = "Try again; if it stays so, raise database.statement_timeout_seconds or database.pool_max_connections."


class DatabaseFullError(UnavailableError):
    """The database at {where} has no room left to write: {reason}"""

    fix = "Free disk space where the database keeps its files, then run the command again; nothing was half-written."


class DatabaseTooOldError(UnavailableError):
    """The database at {where} is PostgreSQL {version}; Skep needs 15 or newer."""

    fix = "Point SKEP_DATABASE_URL at a newer server, or unset it to use the one Skep brings along."


class VectorMissingError(UnavailableError):
    """The database at {where} lacks the extension pgvector 0.8.2 or newer: {reason}"""

    fix = "Install pgvector on the server and, as a superuser, run: CREATE EXTENSION vector; (or ALTER EXTENSION vector UPDATE;)"


class VectorForbiddenError(UnavailableError):
    """The database at {where} lacks the extension pgvector, and the role {role} may not add it: {reason}"""

    fix = (
        "Have a superuser of that server run: psql --dbname {database} --command 'CREATE EXTENSION vector'"
        " (where the server is somebody else's, it is what their console calls extensions); then try again."
    )


class RightsMissingError(UnavailableError):
    """The role {role} may not do what Skep needs in the database at {where}: {reason}"""

    fix = "As the database's owner run: GRANT CREATE ON DATABASE {database} TO {role}; GRANT CREATE ON SCHEMA public TO {role};"


class SchemaTooNewError(ConflictError):
    """The database at {where} was set up by a newer Skep (schema {found}, this one knows up to {known})."""

    fix = "Update this Skep to the version that set it up; nothing was changed."


class Server(Protocol):
    """Where the database is. The embedded server starts itself when asked for its address."""

    @property
    def name(self) -> str:
        """For messages: never contains a password."""

    def conninfo(self) -> str:
        """A libpq connection string to a server that runs. May take seconds and start one.

        Raises an UnavailableError when there is none and none can be started.
        """

    def lower_priority(self, backend_pid: int, niceness: int, /) -> bool:
        """Let a session's server process step back behind others, where it is ours to say; else nothing happens.

        False when that is to be asked once more a tenth of a second later.
        """
