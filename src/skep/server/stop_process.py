"""The process that stops the embedded database: it loads the store and nothing else."""

from __future__ import annotations

from skep.server.orders import Orders
from skep.settings import Settings
from skep.store import embedded_server
from skep.terminal import Terminal


def stop_own_database(settings: Settings, _orders: Orders) -> None:
    """Stop the embedded database and say on standard output whether one ran. Raises what `EmbeddedServer.stop` raises."""
    # A database that somebody else runs is not ours to stop.
    own = settings.database.url is None
    stopped = own and embedded_server(settings).stop()
    Terminal(json=True).result({"stopped": stopped}, "")
