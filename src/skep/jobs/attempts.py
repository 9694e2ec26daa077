"""One attempt at a job: what it reports, and how it hears that it shall stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from skep.errors import UnavailableError
from skep.jobs.models import JobProgress
from skep.jobs.service import queries, to_jsonb
from skep.observe import event
from skep.store import Connection, Database

StopReason = Literal["cancelled", "taken", "shutdown", "silent"]

_TICK_SECONDS = 0.25

_log = logging.getLogger(__name__)


class StopError(Exception):
    """Raised inside a handler, by its report: the attempt shall end. Never leaves this package."""

    def __init__(self, why: StopReason) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job as an attempt got it."""

    job_id: str
    queue_job_id: int
    """The place in the queue that it has: good for this attempt only."""
    project_id: int
    kind: str
    subject: str
    arguments: dict[str, Any]
    requested_by: dict[str, Any]
    attempts: int
    lost_attempts: int
    tries: int
    lock: str | None
    """What only one job at a time may have; None: nothing."""

    @property
    def key(self) -> dict[str, Any]:
        """What statements are bound to, so that they change nothing once the job has been given to another."""
        return {"job_id": self.job_id, "queue_job_id": self.queue_job_id, "attempt": self.attempts}


class Attempt:
    """Takes the handler's reports, writes them at most four times a second, and stops the handler.

    ``lease_seconds``: after so long without an answer from the database the attempt must not go on, because others may
    have taken its worker for dead by then. ``claimed_at``: when the job was asked for, of `time.monotonic`.
    """

    def __init__(self, database: Database, claim: Claim, *, lease_seconds: float, claimed_at: float) -> None:
        self._database = database
        self._claim = claim
        self._lease_seconds = lease_seconds
        self._confirmed_at = claimed_at
        self._stop: StopReason | None = None
        self._reported = JobProgress()
        self._written = JobProgress()
        self._ended = asyncio.Event()

    @property
    def progress(self) -> JobProgress:
        """What the handler said last."""
        return self._reported

    @property
    def lock(self) -> str | None:
        """What no other attempt may have meanwhile; None: nothing."""
        return self._claim.lock

    def report(self, phase: str, done: int, total: int) -> None:
        """What a handler calls. Raises StopError when the attempt shall end."""
        self.check()
        self._reported = JobProgress(phase, done, total)

    def check(self) -> None:
        """Raises StopError when the attempt shall end."""
        if self._stop is None and time.monotonic() - self._confirmed_at > self._lease_seconds:
            self._stop = "silent"
        if self._stop is not None:
            raise StopError(self._stop)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """What a handler writes in it is written if the job is still this attempt's. Raises StopError when it is not."""
        self.check()
        async with self._database.transaction() as connection:
            row = await (await connection.execute(queries["hold_attempt"], self._claim.key)).fetchone()
            if row is None or row[0]:
                self.stop("taken" if row is None else "cancelled")
            self.check()
            yield connection

    def stop(self, why: StopReason) -> None:
        """Let the next report end the attempt."""
        self._stop = self._stop or why

    def end(self) -> None:
        """The handler is left. A thread of it that goes on all the same is stopped by its next report."""
        self.stop("taken")
        self._ended.set()

    async def until_ended(self) -> None:
        """Wait until the handler is left."""
        await self._ended.wait()

    async def tick(self) -> None:
        """Write what changed and hear whether to stop, until the end. Without a database it waits for it."""
        while not self._ended.is_set():
            await asyncio.sleep(_TICK_SECONDS)
            reported = self._reported
            changed = reported != self._written
            statement = queries["note_progress" if changed else "check_attempt"]
            asked_at = time.monotonic()
            try:
                rows = await self._database.fetch_tuples(
                    statement, self._claim.key | {"progress": to_jsonb(asdict(reported))}
                )
            except UnavailableError as error:
                event(_log, logging.WARNING, "progress not written", job=self._claim.job_id, reason=str(error))
                continue
            self._written = reported
            self._confirmed_at = asked_at
            if not rows:
                self._stop = "taken"
            elif rows[0][0]:
                self._stop = "cancelled"
