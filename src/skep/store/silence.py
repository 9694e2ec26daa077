"""Networks that fall silent: nothing comes through any more, and neither side is told. What both sides do about it.

Without this a statement on such a connection waits for as long as the system sends again what it sent (a quarter of an hour), and the server
keeps the locks of a machine that is gone for as long.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from psycopg import AsyncConnection, conninfo
from typing_extensions import override

SILENT_SECONDS = 15
"""After so long without a sign from the other side a connection is given up: as long as leases are good without the database."""

_LOOK_SECONDS = 5
"""How often an idle connection asks for one."""

_CANCEL_SECONDS = 1.0
"""So long it may take to tell a server that a statement is not waited for any more."""

_OURS = {
    "keepalives_idle": _LOOK_SECONDS,
    "keepalives_interval": _LOOK_SECONDS,
    "keepalives_count": SILENT_SECONDS // _LOOK_SECONDS,
    "tcp_user_timeout": SILENT_SECONDS * 1000,
}
"""What libpq does, by its own words."""

_THEIRS = {
    "tcp_keepalives_idle": _LOOK_SECONDS,
    "tcp_keepalives_interval": _LOOK_SECONDS,
    "tcp_keepalives_count": SILENT_SECONDS // _LOOK_SECONDS,
    "tcp_user_timeout": SILENT_SECONDS * 1000,
}
"""What the server does in our sessions, by its own words. It ends a session of which nothing is heard, and with it its locks."""


def heeding_silence(base: str) -> tuple[dict[str, int], dict[str, int]]:
    """What to add to a connection string: for our side, and settings of the session. What it says itself counts; sockets are never silent."""
    said = conninfo.conninfo_to_dict(base)
    hosts = str(said.get("host") or "").split(",")
    if all(host.startswith(("/", "@")) for host in hosts) and not said.get("hostaddr"):
        return {}, {}
    return {name: value for name, value in _OURS.items() if name not in said}, dict(_THEIRS)


class OwnConnection(AsyncConnection[tuple[Any, ...]]):
    """A connection that is broken off when a statement is given up and the server cannot be told so.

    psycopg would wait ten seconds: whoever gives up after two has somebody who waits for them.
    """

    @override
    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        try:
            await super().cancel_safe(timeout=min(timeout, _CANCEL_SECONDS))
        except Exception:
            shut(self.fileno())
            raise


def shut(descriptor: int) -> None:
    """Break off a connection: whoever waits for it is told at once."""
    with socket.socket(fileno=os.dup(descriptor)) as shared:
        shared.shutdown(socket.SHUT_RDWR)


async def connect(dsn: str, patience_seconds: float = 0.2) -> OwnConnection:
    """A new connection in autocommit mode.

    psycopg drops one that is cancelled half-made without closing it: the server would wait a minute for our password, and
    nobody could drop the database as long. So it is made to its end, and closed then: mostly at once, else when nobody waits for it any more.
    """
    connecting = asyncio.create_task(OwnConnection.connect(dsn, autocommit=True), name="skep-connecting")
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        closing = asyncio.create_task(_close_when_made(connecting), name="skep-closing")
        _CLOSING.add(closing)
        closing.add_done_callback(_CLOSING.discard)
        await asyncio.wait({closing}, timeout=patience_seconds)
        raise


_CLOSING: set[asyncio.Task[None]] = set()
"""Connections that nobody waits for, so that they are not forgotten half-made."""


async def _close_when_made(connecting: asyncio.Task[OwnConnection]) -> None:
    (made,) = await asyncio.gather(connecting, return_exceptions=True)
    if isinstance(made, OwnConnection):
        await made.close()
