"""The HTTP server, as the command line starts, stops and examines it. What serves runs in processes of its own."""

from __future__ import annotations

from skep.server.errands import begin_embedding, run_examination, stop_database
from skep.server.log_place import log_to_its_place
from skep.server.orders import Orders
from skep.server.running import Running, find_running, stop
from skep.server.supervisor import STOP_SECONDS, Started, run_server

__all__ = [
    "STOP_SECONDS",
    "Orders",
    "Running",
    "Started",
    "begin_embedding",
    "find_running",
    "log_to_its_place",
    "run_examination",
    "run_server",
    "stop",
    "stop_database",
]
