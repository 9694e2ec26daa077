"""Starts the embedded database while the code of the server is loaded: on two processors both are done when one is."""

from __future__ import annotations

import threading
from contextlib import suppress

from skep.errors import SkepError
from skep.settings import Settings
from skep.store import EmbeddedServer, embedded_server


def wake_database(settings: Settings) -> None:
    """Begin to start it, in a thread. Whoever opens it soon after waits for the same start, and tells why there is none."""
    server = embedded_server(settings)
    threading.Thread(target=_wake, args=(server,), name="skep-wake-database", daemon=True).start()


def _wake(server: EmbeddedServer) -> None:
    with suppress(SkepError, OSError):
        server.ensure_running()
