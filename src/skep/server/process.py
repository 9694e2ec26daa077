"""A child process of the server, started by this file's path with its orders as the only argument (see `orders`)."""

from __future__ import annotations

import asyncio
import sys

from skep.app import embedded_server
from skep.errors import SkepError
from skep.observe import configure_logging
from skep.server.embedding_process import embed_passages
from skep.server.examining import examine
from skep.server.http_process import serve_http
from skep.server.orders import Orders
from skep.server.watch_process import watch_folders
from skep.server.worker_process import do_jobs
from skep.settings import load_settings
from skep.terminal import Terminal


def main(argument: str) -> int:
    """Do what the orders say; returns the exit code."""
    orders = Orders.parse(argument)
    terminal = Terminal(json=orders.role in ("examine", "stop"))
    try:
        settings = load_settings(orders.said)
        configure_logging(settings.log.level, settings.log.format, sys.stderr, aside=orders.role == "http")
        if orders.role == "examine":
            terminal.result(asyncio.run(examine(settings)), "")
        elif orders.role == "stop":
            # A database that somebody else runs is not ours to stop.
            own = settings.database.url is None
            terminal.result({"stopped": own and embedded_server(settings).stop()}, "")
        elif orders.role == "worker":
            do_jobs(settings, orders)
        elif orders.role == "embedder":
            embed_passages(settings, orders)
        elif orders.role == "watcher":
            watch_folders(settings, orders)
        else:
            serve_http(settings, orders)
    except SkepError as error:
        return terminal.show_error(error)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
