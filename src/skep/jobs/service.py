"""Asking for jobs, looking at them, calling them off. Bound to a project by its number."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from skep.ids import new_id
from skep.jobs.interfaces import JobFinishedError, JobNotFoundError
from skep.jobs.models import Job, JobError, JobOrder, JobProgress, JobState, StalledJob
from skep.store import Database, Queries

TASK = "skep.run_job"
"""The queue's name for the one task it knows: do the job with this ``job_id``."""

SILENT_SECONDS = 12.0
"""A worker that has not given a sign for so long is taken for dead: six of its heartbeats."""

MAX_LISTED = 500
"""Most jobs that one look at the list gives."""

_POLL_SECONDS = 0.3

queries = Queries("skep.jobs")


@dataclass(frozen=True, slots=True)
class _JobRow:
    job_id: str
    kind: str
    subject: str
    state: JobState
    progress: dict[str, Any]
    result: Any
    error: dict[str, str] | None
    attempts: int
    cancel_requested: bool
    revision: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    def job(self) -> Job:
        return Job(
            job_id=self.job_id,
            kind=self.kind,
            subject=self.subject,
            state=self.state,
            progress=JobProgress(**self.progress),
            result=self.result,
            error=None if self.error is None else JobError(**self.error),
            attempts=self.attempts,
            cancel_requested=self.cancel_requested,
            revision=self.revision,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )


class Jobs:
    """Background work of every project. ``queue`` names the workers that shall do what is asked for here."""

    def __init__(self, database: Database, *, queue: str) -> None:
        self._database = database
        self._queue = queue

    async def submit(self, project_id: int, order: JobOrder) -> Job:
        """Ask for work. A job that already waits to do exactly this for the same principal is given back instead.

        The job and its place in the queue are written in one transaction: there is never one without the other.
        """
        bound = {
            "project_id": project_id,
            "kind": order.kind,
            "subject": order.subject,
            "queue": self._queue,
            "task": TASK,
            "arguments": to_jsonb(order.arguments),
            "requested_by": to_jsonb(order.requested_by),
        }
        async with self._database.transaction() as connection:
            await connection.execute(queries["enter_queue_schema"])
            await connection.execute(queries["lock_subject"], bound)
            twin = await (await connection.execute(queries["fetch_waiting_twin"], bound)).fetchone()
            job_id = str(twin[0]) if twin else new_id("job")
            if twin is None:
                await connection.execute(queries["insert_job"], bound | {"job_id": job_id})
        return await self.fetch(project_id, job_id)

    async def fetch(self, project_id: int, job_id: str) -> Job:
        """One job. Raises JobNotFoundError."""
        row = await self._database.fetch_one(
            _JobRow, queries["fetch_job"], {"project_id": project_id, "job_id": job_id}
        )
        if row is None:
            raise JobNotFoundError(what="job", name=job_id, job_id=job_id)
        return row.job()

    async def recent(self, project_id: int, *, limit: int = 100, state: JobState | None = None) -> tuple[Job, ...]:
        """The newest jobs first, of all states or one; at most ``MAX_LISTED``."""
        bound = {"project_id": project_id, "limit": min(limit, MAX_LISTED), "state": state}
        return tuple(row.job() for row in await self._database.fetch_all(_JobRow, queries["fetch_jobs"], bound))

    async def cancel(self, project_id: int, job_id: str) -> Job:
        """Call a job off: one that waits ends now, one that runs as soon as it looks (mostly within a second).

        A cancelled job may be cancelled again. Raises JobNotFoundError, JobFinishedError.
        """
        bound = {"project_id": project_id, "job_id": job_id}
        async with self._database.transaction() as connection:
            await connection.execute(queries["enter_queue_schema"])
            row = await (await connection.execute(queries["request_cancel"], bound)).fetchone()
            if row is not None and row[0] == "cancelled":
                await connection.execute(queries["drop_from_queue"], {"queue_job_id": row[1]})
        job = await self.fetch(project_id, job_id)
        if row is None and job.state != "cancelled":
            raise JobFinishedError(what="job", reason=job.state, job_id=job_id, state=job.state)
        return job

    async def watch(
        self, project_id: int, job_id: str, *, after_revision: int = 0, silence_seconds: float = 10.0
    ) -> AsyncIterator[Job | None]:
        """The job each time it has changed since ``after_revision``, until it is final; then it ends.

        None when nothing changed for ``silence_seconds``. Looks into the database, so that it does not matter which
        process works on the job. Raises JobNotFoundError.
        """
        seen = after_revision
        spoken = time.monotonic()
        while True:
            job = await self.fetch(project_id, job_id)
            if job.revision != seen:
                seen, spoken = job.revision, time.monotonic()
                yield job
            elif time.monotonic() - spoken >= silence_seconds:
                spoken = time.monotonic()
                yield None
            if job.is_final:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def stalled(self) -> tuple[StalledJob, ...]:
        """Jobs of every project that are said to be running though their worker is gone: for the operator."""
        bound = {"task": TASK, "silent_seconds": SILENT_SECONDS}
        return tuple(await self._database.fetch_all(StalledJob, queries["fetch_stalled"], bound))

    async def unfinished(self) -> tuple[int, int]:
        """How many jobs wait and how many run, of every project: for the operator."""
        ((waiting, running),) = await self._database.fetch_tuples(queries["count_jobs"])
        return int(waiting), int(running)


def queue_of(node: str) -> str:
    """The queue of the workers on a machine: work on its folders can be done nowhere else.

    A hash, because the name becomes part of a PostgreSQL channel, which has at most 63 bytes.
    """
    return f"node-{hashlib.sha256(node.encode()).hexdigest()[:16]}"


def to_jsonb(value: Mapping[str, Any] | object) -> Jsonb:
    """Plain values and dataclasses as PostgreSQL takes them."""
    return Jsonb(value, dumps=orjson.dumps)
