"""PostgreSQL: where it is, how it is reached, and which schema it has."""

from __future__ import annotations

from skep.store.database import Connection, Database, translate
from skep.store.embedded import EmbeddedServer
from skep.store.interfaces import (
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseTooOldError,
    DatabaseUnavailableError,
    RightsMissingError,
    SchemaTooNewError,
    Server,
    VectorForbiddenError,
    VectorMissingError,
)
from skep.store.listening import hear
from skep.store.migrations import SCHEMA_REVISION, ensure_schema
from skep.store.queries import Queries
from skep.store.servers import ExternalServer, OwnServer, embedded_server
from skep.store.silence import OwnConnection

__all__ = [
    "SCHEMA_REVISION",
    "Connection",
    "Database",
    "DatabaseBusyError",
    "DatabaseFullError",
    "DatabaseTooOldError",
    "DatabaseUnavailableError",
    "EmbeddedServer",
    "ExternalServer",
    "OwnConnection",
    "OwnServer",
    "Queries",
    "RightsMissingError",
    "SchemaTooNewError",
    "Server",
    "VectorForbiddenError",
    "VectorMissingError",
    "embedded_server",
    "ensure_schema",
    "hear",
    "translate",
]
