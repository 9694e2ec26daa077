"""What was said in calls, kept beside the ledger where the settings ask for it. What cannot be kept is dropped and counted."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from skep.jobs import end_task
from skep.observe import NO_METRICS, Metrics, event, masked
from skep.spend.database_bank import queries
from skep.spend.metrics import CONTENTS
from skep.spend.models import Outcome
from skep.store import Database

KeepsContent = Literal["nothing", "errors", "all"]

MOST_WAITING_BYTES = 33_554_432
"""Of requests and answers that wait for the database, in one process."""

_AT_ONCE_BYTES = 4_194_304
_GATHER_SECONDS = 0.2
"""Rows of so long are written together: a call does not wait for it."""

_LAST_SECONDS = 2.0
_ROW_BYTES = 500
"""A row takes at least so much: calls without a word must not wait without a bound either."""

_BEYOND = 512
"""Masked with what is kept: a secret that the cut goes through would not be recognised."""

_log = logging.getLogger(__name__)

_ESCAPE = re.compile(r"\\+(?:u[0-9a-fA-F]{4}|[\"'/bfnrt]?)")
"""Also of JSON in a string of JSON, as arguments of tools are."""

_NAMED = re.compile(
    r"(?i)\b(password|secret|token|api[_-]key)(\x01\\+[\"']\x01\s*[=:]\s*)(\x01\\+[\"']\x01)?[^\s'\",&\x01]+"
)


def keeps(setting: KeepsContent, outcome: Outcome) -> bool:
    """Whether the content of a call that ended so is kept."""
    return setting == "all" or (setting == "errors" and outcome != "ok")


class Heard:
    """The beginning of a text that comes in pieces, and how long the whole is. Holds little more than ``max_bytes``."""

    __slots__ = ("_left", "_parts", "max_bytes", "size")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._left = max_bytes + _BEYOND
        self._parts: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """What comes next."""
        self.size += len(piece)
        if self._left > 0 and piece:
            self._parts.append(piece[: self._left])
            self._left -= len(self._parts[-1])

    def restart(self) -> None:
        """Another attempt takes the place of what was heard."""
        self.size, self._left = 0, self.max_bytes + _BEYOND
        self._parts.clear()

    @property
    def beginning(self) -> bytes:
        """What is there of it."""
        return b"".join(self._parts)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said in a call, on its way to the database."""

    call_id: str
    project_id: int
    outcome: Outcome
    request: Heard
    answer: Heard

    @property
    def size(self) -> int:
        """The bytes that it holds, about."""
        return _ROW_BYTES + sum(min(each.size, each.max_bytes + _BEYOND) for each in (self.request, self.answer))


@dataclass(frozen=True, slots=True)
class CallContent:
    """What was said in a call, without what looks like a secret."""

    call_id: str
    made_at: datetime
    outcome: Outcome
    request: str
    """As the client sent it. Where it was cut, its end says so."""
    request_bytes: int
    answer: str
    """Of the last attempt that got one: a stream as it was passed on, an error as the provider told it."""
    answer_bytes: int


def kept_text(heard: Heard) -> str:
    """What is kept of a text: masked, at most its bound, with a mark where it was cut."""
    text = mask_json(heard.beginning.decode("utf-8", "replace").replace("\0", "\ufffd"))
    kept = text.encode("utf-8", "replace")[: heard.max_bytes].decode("utf-8", "ignore")
    if heard.size <= heard.max_bytes:
        return kept
    return f"{kept} [cut: {heard.size} bytes in all]"


def mask_json(text: str) -> str:
    """Mask what looks like a secret, also inside of strings of JSON, which may be cut anywhere.

    Escapes are set apart first: of an escaped end of a line before ``sk-...`` the mask would take the n for a part of the word.
    """
    apart = _ESCAPE.sub("\x01\\g<0>\x01", text.replace("\x01", "\ufffd"))
    return _NAMED.sub(r"\1\2\3***", masked(apart)).replace("\x01", "")


def made_at(call_id: str) -> datetime:
    """When a call was made, as its id (a UUID of version 7) says."""
    return datetime.fromtimestamp((UUID(call_id).int >> 80) / 1000, UTC)


@dataclass(slots=True, eq=False)
class ContentKeeper:
    """Writes what was said into the database, in the background. Belongs to one event loop."""

    database: Database
    metrics: Metrics = NO_METRICS
    max_waiting_bytes: int = MOST_WAITING_BYTES
    waiting_bytes: int = 0
    _waiting: deque[Said] = field(default_factory=deque)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _is_failing: bool = False

    def take(self, said: Said) -> None:
        """Have it kept. Does not wait; what has no room is dropped."""
        if self.waiting_bytes + said.size > self.max_waiting_bytes:
            self.metrics.add(CONTENTS, ("no_room",))
            return
        self.waiting_bytes += said.size
        self._waiting.append(said)
        self._some.set()

    async def keep(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            await self.write_waiting()

    async def write_waiting(self) -> None:
        """Write everything that waits; what the database does not take is dropped."""
        self._some.clear()
        while self._waiting:
            lot: list[Said] = []
            size = 0
            while self._waiting and (not lot or size + self._waiting[0].size <= _AT_ONCE_BYTES):
                lot.append(self._waiting.popleft())
                size += lot[-1].size
            outcome = "failed"
            try:
                await self._write(lot)
            except Exception as error:  # noqa: BLE001 -- whatever it is, calls go on; the cause is logged and the loss counted
                if not self._is_failing:
                    event(_log, logging.WARNING, "contents of calls not kept", calls=len(lot), reason=str(error))
                self._is_failing = True
            else:
                self._is_failing = False
                outcome = "kept"
            finally:
                # Counted until now: what is being written is in memory too.
                self.waiting_bytes -= size
                self.metrics.add(CONTENTS, (outcome,), len(lot))

    async def _write(self, lot: list[Said]) -> None:
        # In a thread: a megabyte is masked in some hundredths of a second, in which the loop has calls to serve.
        rows = await asyncio.to_thread(_rows, lot)
        async with self.database.transaction() as connection:
            for day in sorted({made_at(said.call_id).date() for said in lot}):
                await connection.execute(queries["open_content_day"], {"day": day})
            async with connection.cursor() as cursor:
                await cursor.executemany(queries["insert_content"], rows)


def _rows(lot: Iterable[Said]) -> list[dict[str, object]]:
    return [
        {
            "call_id": said.call_id,
            "made_at": made_at(said.call_id),
            "project_id": said.project_id,
            "outcome": said.outcome,
            "request": kept_text(said.request),
            "request_bytes": said.request.size,
            "answer": kept_text(said.answer),
            "answer_bytes": said.answer.size,
        }
        for said in lot
    ]


@asynccontextmanager
async def keeping_contents(database: Database, metrics: Metrics) -> AsyncIterator[ContentKeeper]:
    """Somebody who keeps what was said, until the end of the block; what waits then is written for two seconds more."""
    keeper = ContentKeeper(database, metrics)
    task = asyncio.create_task(keeper.keep(), name="skep-contents")
    try:
        yield keeper
    finally:
        await end_task(task)
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await keeper.write_waiting()
        except TimeoutError:
            event(_log, logging.WARNING, "contents of calls not kept", reason="the database took too long at the end")
