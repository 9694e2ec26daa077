"""The two places a database can be: a server named by its URL, or the one Skep brings along."""

from __future__ import annotations

from psycopg import conninfo

from skep.priority import step_back
from skep.settings import Settings
from skep.store.embedded import EmbeddedServer


class ExternalServer:
    """A PostgreSQL that somebody else runs, named by ``database.url``."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def name(self) -> str:
        """``host:port/database``."""
        parts = conninfo.conninfo_to_dict(self._url)
        return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"

    def conninfo(self) -> str:
        """The URL as it was given."""
        return self._url

    def lower_priority(self, _backend_pid: int, _niceness: int, /) -> bool:
        """Nothing: its processes are not ours, nor perhaps on this machine."""
        return True


def embedded_server(settings: Settings) -> EmbeddedServer:
    """The embedded server of the data folder, not started."""
    return EmbeddedServer(
        settings.data_folder,
        idle_stop_seconds=settings.database.idle_stop_minutes * 60.0,
        run_as=settings.database.run_as,
    )


class OwnServer:
    """The embedded PostgreSQL of a data folder, started when it does not run."""

    def __init__(self, embedded: EmbeddedServer) -> None:
        self._embedded = embedded

    @property
    def name(self) -> str:
        """Where its files are."""
        return f"the embedded PostgreSQL in {self._embedded.home}"

    def conninfo(self) -> str:
        """Start the server if need be. Raises what `EmbeddedServer.ensure_running` raises."""
        return conninfo.make_conninfo(**self._embedded.ensure_running().conninfo())

    def lower_priority(self, backend_pid: int, niceness: int, /) -> bool:
        """The process goes with the session: the next one gets a process of its own."""
        return step_back(backend_pid, niceness)
