"""A program: starts the PostgreSQL of a folder so that it listens to the network as well, and leaves it running.

Run in the namespace whose network that is. It is the server that Skep brings along, made to be one for several machines, which the product never does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

import psycopg

from skep.store import EmbeddedServer
from skep.store.embedded.cluster import SETTINGS
from tests.postgres import FAST


def start(home: Path, address: str, network: str) -> None:
    """Start it; whoever is in the network may log in with a password."""
    server = EmbeddedServer(home, idle_stop_seconds=600, start_timeout_seconds=60)
    with patch.dict(SETTINGS, {**FAST, "listen_addresses": address}):
        server.ensure_running()
    with (home / "postgres" / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {network} scram-sha-256\n")
    with psycopg.connect(**server.admin_address().conninfo(), autocommit=True) as connection:  # type: ignore[arg-type]
        connection.execute("select pg_reload_conf()")


if __name__ == "__main__":
    start(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
