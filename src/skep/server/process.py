"""A child process of the server, started by this file's path with its orders as the only argument (see `orders`)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from skep.errors import SkepError
from skep.server.log_place import log_to_its_place
from skep.server.orders import Orders, Task
from skep.settings import Settings, load_settings
from skep.terminal import Terminal

Work = Callable[[Settings, Orders], None]

WORK: Mapping[Task, tuple[str, str]] = {
    "http": ("skep.server.http_process", "serve_http"),
    "worker": ("skep.server.worker_process", "do_jobs"),
    "embedder": ("skep.server.embedding_process", "embed_passages"),
    "watcher": ("skep.server.watch_process", "watch_folders"),
    "pusher": ("skep.server.push_process", "push_metrics"),
    "examine": ("skep.server.examining", "say_examination"),
    "stop": ("skep.server.stop_process", "stop_own_database"),
}
"""Module and function for each task. Only what a process does is loaded: the routes alone take 0.3 s of computing."""


_WAKING = "skep.server.waking"
"""For who serves: other processes are started by one whose database runs, and need not load what this does."""


def main(argument: str) -> int:
    """Do what the orders say; returns the exit code."""
    orders = Orders.parse(argument)
    terminal = Terminal(json=orders.role in ("examine", "stop"))
    try:
        settings = load_settings(orders.said)
        log_to_its_place(settings.log, orders.log_name, aside=orders.role == "http")
        if orders.role == "http" and settings.database.url is None:
            import_module(_WAKING).wake_database(settings)
        load(orders.role)(settings, orders)
    except SkepError as error:
        return terminal.show_error(error)
    except KeyboardInterrupt:
        return 130
    return 0


def load(task: Task) -> Work:
    """What does a task. Its module is imported now; all that was loaded by then stays, so no garbage is sought in it."""
    module, function = WORK[task]
    work: Work = getattr(import_module(module), function)
    gc.freeze()
    gc.enable()
    return work


if __name__ == "__main__":
    gc.disable()  # loading code makes many objects and no garbage
    sys.exit(main(sys.argv[1]))
