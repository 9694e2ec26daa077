"""Lines of journals into the ledger, exactly once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from skep.observe import event
from skep.spend.database_bank import queries
from skep.spend.holdings import FlushedWindow
from skep.store import Connection

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Flushed:
    """What copying lines into the ledger did."""

    windows: list[FlushedWindow] = field(default_factory=list)
    has_alerts: bool = False
    """Whether there are alerts now that nobody has told."""
    rejected: int = 0
    """Lines that were put aside: what was reserved for their calls stays leased."""

    def add(self, rows: list[tuple[int, ...]]) -> None:
        """Take over what the statement returned."""
        for row in rows:
            window_id, seen, charged, moved, used, others, has_alerts = row
            self.windows.append(FlushedWindow(window_id, seen, charged, moved, used, others))
            self.has_alerts |= bool(has_alerts)


async def prepare(connection: Connection) -> None:
    """Make a connection ready for `flush`."""
    await connection.execute(queries["create_stage"])


async def flush(connection: Connection, process_id: int, lines: bytes, *, rejects: Path) -> Flushed:
    """Put lines of a process' journal into the ledger, and charge their windows: all of it, or nothing.

    A line that the database cannot read, which should not happen, is put aside into the file ``rejects`` and told in the log; it
    would else hold up all that come after it. Its reservation stays leased.
    """
    flushed = Flushed()
    try:
        flushed.add(await _flush_once(connection, process_id, lines))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        parts = lines.splitlines(keepends=True)
        if len(parts) == 1:
            event(_log, logging.ERROR, "call not readable for the ledger", reason=str(error), put_into=str(rejects))
            with rejects.open("ab") as file:
                file.write(lines)
            flushed.rejected = 1
            return flushed
        for half in (parts[: len(parts) // 2], parts[len(parts) // 2 :]):
            done = await flush(connection, process_id, b"".join(half), rejects=rejects)
            flushed.windows += done.windows
            flushed.has_alerts |= done.has_alerts
            flushed.rejected += done.rejected
    return flushed


async def _flush_once(connection: Connection, process_id: int, lines: bytes) -> list[tuple[int, ...]]:
    # Windows are locked by the statement that charges them. The end of the transaction is sent together with it: were this
    # process stopped between the two, everybody else who spends from these windows would wait until it goes on.
    await connection.execute(queries["begin_flush"])
    try:
        async with connection.cursor() as cursor:
            async with cursor.copy(queries["copy_lines"]) as copy:
                await copy.write(lines)
            async with connection.pipeline():
                await connection.execute(queries["share_rollups"])
                await connection.execute(queries["open_staged_days"])
                await connection.execute(queries["note_due"])
                await cursor.execute(queries["flush_stage"], {"process_id": process_id})
                await connection.execute(queries["commit_flush"])
            return await cursor.fetchall()
    except psycopg.Error:
        if not connection.closed:
            await connection.rollback()
        raise
