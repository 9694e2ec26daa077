"""Asking for jobs, looking at them, calling them off. Bound to a project by its number."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from skep.ids import new_id
from skep.jobs.interfaces import (
    JobDoneError,
    JobFinishedError,
    JobNotFoundError,
    JobNotOverError,
    QueueBusyError,
    QueueUnknownError,
)
from skep.jobs.models import (
    FLEET_QUEUES,
    FOLDERS,
    Job,
    JobError,
    JobOrder,
    JobProgress,
    JobState,
    QueueState,
    StalledJob,
    WorkerState,
)
from skep.store import Connection, Database, Queries

TASK = "skep.run_job"
"""The queue's name for the one task it knows: do the job with this ``job_id``."""

SILENT_SECONDS = 12.0
"""A worker that has not given a sign for so long is taken for dead: six of its heartbeats."""

MAX_LISTED = 500
"""Most jobs that one look at the list gives."""

_POLL_SECONDS = 0.3

_NODE_PREFIX = "node-"

queries = Queries("skep.jobs")


@dataclass(frozen=True, slots=True)
class _JobRow:
    job_id: str
    kind: str
    subject: str
    queue: str
    priority: int
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

    def job(self, queue: str) -> Job:
        return Job(
            job_id=self.job_id,
            kind=self.kind,
            subject=self.subject,
            queue=queue,
            priority=self.priority,
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
    """Background work of every project. ``queue`` is this machine's own, for work on its folders."""

    def __init__(self, database: Database, *, queue: str) -> None:
        self._database = database
        self._queue = queue

    async def submit(self, project_id: int, order: JobOrder) -> Job:
        """Ask for work. A job that already waits to do exactly this for the same principal is given back instead, if the
        order says what it works on.
        """
        async with self._database.transaction() as connection:
            job_id = await self.submit_within(connection, project_id, order)
        return await self.fetch(project_id, job_id)

    async def submit_within(self, connection: Connection, project_id: int, order: JobOrder) -> str:
        """`submit` within the transaction that needs the work: both happen or neither. The job's id.

        For the rest of the transaction the tables of the queue can be named without their schema.
        """
        bound = {
            "project_id": project_id,
            "kind": order.kind,
            "subject": order.subject,
            "queue": self._inner(order.queue),
            "task": TASK,
            "arguments": to_jsonb(order.arguments),
            "requested_by": to_jsonb(order.requested_by),
            "priority": order.priority,
            "tries": order.tries,
        }
        await connection.execute(queries["enter_queue_schema"])
        if order.subject:
            await connection.execute(queries["lock_subject"], bound)
            twin = await (await connection.execute(queries["fetch_waiting_twin"], bound)).fetchone()
            if twin is not None:
                return str(twin[0])
        job_id = new_id("job")
        await connection.execute(queries["insert_job"], bound | {"job_id": job_id})
        return job_id

    async def fetch(self, project_id: int, job_id: str) -> Job:
        """One job. Raises JobNotFoundError."""
        row = await self._database.fetch_one(
            _JobRow, queries["fetch_job"], {"project_id": project_id, "job_id": job_id}
        )
        if row is None:
            raise JobNotFoundError(what="job", name=job_id, job_id=job_id)
        return row.job(self._outer(row.queue))

    async def recent(
        self, project_id: int, *, limit: int = 100, state: JobState | None = None, queue: str | None = None
    ) -> tuple[Job, ...]:
        """The newest jobs first, of all states or one, of all queues or one; at most ``MAX_LISTED``.

        Raises QueueUnknownError.
        """
        inner = None if queue is None else self._inner(queue)
        bound = {"project_id": project_id, "limit": min(limit, MAX_LISTED), "state": state, "queue": inner}
        rows = await self._database.fetch_all(_JobRow, queries["fetch_jobs"], bound)
        return tuple(row.job(self._outer(row.queue)) for row in rows)

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

    async def retry(self, project_id: int, job_id: str) -> Job:
        """Let a job that failed or was cancelled run again, with all its tries, under its own id.

        Raises JobNotFoundError, JobNotOverError, JobDoneError.
        """
        bound = {"project_id": project_id, "job_id": job_id, "task": TASK, "pause_seconds": 0.0}
        async with self._database.transaction() as connection:
            await connection.execute(queries["enter_queue_schema"])
            reopened = (await connection.execute(queries["reopen_job"], bound)).rowcount > 0
            if reopened:
                await connection.execute(queries["open_place"], bound)
        job = await self.fetch(project_id, job_id)
        if reopened:
            return job
        if job.state == "succeeded":
            raise JobDoneError(what="job", reason=job.state, job_id=job_id)
        raise JobNotOverError(what="job", reason=job.state, job_id=job_id, state=job.state)

    async def pause(self, queue: str) -> QueueState:
        """Let nothing of a queue begin until `resume`; what runs goes on. Raises QueueUnknownError."""
        await self._database.execute(queries["pause_queue"], {"queue": self._inner(queue)})
        return await self.queue(queue)

    async def resume(self, queue: str) -> QueueState:
        """Let a queue go on; workers look within a second. Raises QueueUnknownError."""
        await self._database.execute(queries["resume_queue"], {"queue": self._inner(queue)})
        return await self.queue(queue)

    async def drain(self, queue: str, *, timeout_seconds: float) -> QueueState:
        """`pause`, then wait until nothing of the queue runs any more, on whichever machine.

        Raises QueueUnknownError; QueueBusyError when something still runs then: the queue stays paused.
        """
        deadline = time.monotonic() + timeout_seconds
        state = await self.pause(queue)
        while state.active:
            if time.monotonic() >= deadline:
                raise QueueBusyError(
                    what=queue, reason="still running", active=state.active, seconds=f"{timeout_seconds:g}"
                )
            await asyncio.sleep(_POLL_SECONDS)
            state = await self.queue(queue)
        return state

    async def queue(self, queue: str) -> QueueState:
        """One queue, with the jobs of every project. Raises QueueUnknownError."""
        inner = self._inner(queue)
        return next(state for state in await self.queues() if self._inner(state.queue) == inner)

    async def queues(self, project_id: int | None = None) -> tuple[QueueState, ...]:
        """Every queue that is known or has something: with the jobs of a project, or of all for None."""
        bound = {"project_id": project_id, "known": [*FLEET_QUEUES, self._queue]}
        found = await self._database.fetch_all(QueueState, queries["fetch_queues"], bound)
        return tuple(replace(state, queue=self._outer(state.queue)) for state in found)

    async def workers(self) -> tuple[WorkerState, ...]:
        """Every worker of every machine that ended without saying so lately, or works."""
        found = await self._database.fetch_all(
            WorkerState, queries["fetch_workers"], {"silent_seconds": SILENT_SECONDS}
        )
        return tuple(replace(worker, queues=tuple(self._outer(queue) for queue in worker.queues)) for worker in found)

    def _inner(self, queue: str) -> str:
        """A queue's name in the database. Raises QueueUnknownError."""
        if queue == FOLDERS:
            return self._queue
        if queue not in FLEET_QUEUES and not queue.startswith(_NODE_PREFIX):
            raise QueueUnknownError(reason="queue", queue=queue, known=", ".join((*FLEET_QUEUES, FOLDERS)))
        return queue

    def _outer(self, queue: str) -> str:
        return FOLDERS if queue == self._queue else queue

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


def known_queues(names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of queues as people say them, several in one if parted by commas. Raises QueueUnknownError."""
    known = (*FLEET_QUEUES, FOLDERS)
    said = tuple(dict.fromkeys(part.strip() for name in names or () for part in name.split(",")))
    for name in said:
        if name not in known:
            raise QueueUnknownError(reason="queue", queue=name, known=", ".join(known))
    return said


def queue_of(node: str) -> str:
    """The queue of the workers on a machine: work on its folders can be done nowhere else.

    A hash, because the name becomes part of a PostgreSQL channel, which has at most 63 bytes.
    """
    return f"{_NODE_PREFIX}{hashlib.sha256(node.encode()).hexdigest()[:16]}"


def to_jsonb(value: Mapping[str, Any] | object) -> Jsonb:
    """Plain values and dataclasses as PostgreSQL takes them."""
    return Jsonb(value, dumps=orjson.dumps)
