"""What callers get from the embedded database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """How to reach the server, in the words of libpq. ``host`` is the folder of the socket; the port is only its name."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str

    def conninfo(self) -> dict[str, str]:
        """Keyword parameters for ``psycopg.connect`` and its pools."""
        return {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }


class RunState(StrEnum):
    """What the server is doing, as a client sees it."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    NOT_ANSWERING = "not_answering"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A look at the server. None means unknown or, while nothing runs, that there is no such thing."""

    state: RunState
    pid: int | None
    version: str | None
    since: datetime | None
    data_bytes: int | None
