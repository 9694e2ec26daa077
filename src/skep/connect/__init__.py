"""Telling agents' programs where the tools are: their configuration, printed or written."""

from __future__ import annotations

from skep.connect.clients import CLIENTS
from skep.connect.interfaces import (
    ClientUnknownError,
    ConfigChangedError,
    ConfigNotPlainError,
    ConfigUnusableError,
    ConfigUnwritableError,
    HttpUnsupportedError,
)
from skep.connect.models import Client, Connection, HttpTarget, StdioTarget, Target
from skep.connect.service import own_command, plan, write

__all__ = [
    "CLIENTS",
    "Client",
    "ClientUnknownError",
    "ConfigChangedError",
    "ConfigNotPlainError",
    "ConfigUnusableError",
    "ConfigUnwritableError",
    "Connection",
    "HttpTarget",
    "HttpUnsupportedError",
    "StdioTarget",
    "Target",
    "own_command",
    "plan",
    "write",
]
