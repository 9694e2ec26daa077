"""Jobs over HTTP. Here and not in the room of jobs, which lies below the one that knows principals."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from http import HTTPStatus
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from skep.errors import UnavailableError
from skep.jobs import (
    MAX_LISTED,
    Job,
    JobDoneError,
    JobFinishedError,
    JobNotFoundError,
    JobNotOverError,
    JobState,
    QueueUnknownError,
)
from skep.observe import event
from skep.server.interfaces import EventIdInvalidError
from skep.server.opening import Opening
from skep.web import Call, Endpoint, json_answer

_KEEP_ALIVE = b": still here\n\n"
_MAX_EVENT_ID_DIGITS = 18
_LOOK_SECONDS = 0.5
"""How often a silent stream looks whether the server ends."""

_log = logging.getLogger(__name__)


class JobsQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    state: JobState | None = Field(None, description="Only jobs of this state.")
    queue: str | None = Field(None, description="Only jobs of this queue: ingest, analysis, default, folders.")
    limit: int = Field(100, ge=1, le=MAX_LISTED, description="Most jobs to list, the newest first.")


def job_endpoints(opening: Opening, *, keep_alive_seconds: float) -> tuple[Endpoint, ...]:
    """The routes. A stream says at least every ``keep_alive_seconds`` that it is still there."""

    async def jobs(call: Call) -> ASGIApp:
        query = call.query(JobsQuery)
        found = await opening.skep.jobs.recent(
            call.principal.project_id, limit=query.limit, state=query.state, queue=query.queue
        )
        # Results can be long; they come with the single job.
        return json_answer({"jobs": [asdict(job) | {"result": None} for job in found]})

    async def job(call: Call) -> ASGIApp:
        return json_answer(await opening.skep.jobs.fetch(call.principal.project_id, call.path("job_id")))

    async def cancel(call: Call) -> ASGIApp:
        return json_answer(await opening.skep.jobs.cancel(call.principal.project_id, call.path("job_id")))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/jobs",
            caller="reader",
            handle=jobs,
            summary="List the newest jobs, without their results",
            query=JobsQuery,
            answer=dict[Literal["jobs"], list[Job]],
            answer_example={"jobs": [_EXAMPLE]},
            errors=(QueueUnknownError,),
        ),
        Endpoint(
            method="GET",
            path="/api/v1/jobs/{job_id}",
            caller="reader",
            handle=job,
            summary="Show a job",
            answer=Job,
            answer_example=_EXAMPLE,
            errors=(JobNotFoundError,),
        ),
        _events_endpoint(opening, keep_alive_seconds),
        Endpoint(
            method="DELETE",
            path="/api/v1/jobs/{job_id}",
            caller="member",
            handle=cancel,
            summary="Cancel a job; one that runs ends as soon as it can",
            answer=Job,
            answer_example=_EXAMPLE | {"cancel_requested": True},
            errors=(JobNotFoundError, JobFinishedError),
        ),
        _retry_endpoint(opening),
    )


def _retry_endpoint(opening: Opening) -> Endpoint:
    async def retry(call: Call) -> ASGIApp:
        return json_answer(await opening.skep.jobs.retry(call.principal.project_id, call.path("job_id")))

    return Endpoint(
        method="POST",
        path="/api/v1/jobs/{job_id}/retry",
        caller="member",
        handle=retry,
        summary="Let a job that failed or was cancelled run again, under its own id",
        answer=Job,
        answer_example=_EXAMPLE | {"state": "queued"},
        errors=(JobNotFoundError, JobNotOverError, JobDoneError),
    )


def _events_endpoint(opening: Opening, keep_alive_seconds: float) -> Endpoint:
    async def events(call: Call) -> ASGIApp:
        after = last_event_id(call.request.headers.get("last-event-id"))
        project_id, job_id = call.principal.project_id, call.path("job_id")
        # Looked up before the stream begins: a job that does not exist is a 404 and no stream.
        seen = await opening.skep.jobs.fetch(project_id, job_id)
        if seen.is_final and seen.revision == after:
            # A browser's EventSource comes back after every end, until it is told that there is no more.
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return StreamingResponse(
            _stream(opening, project_id, job_id, after, keep_alive_seconds),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return Endpoint(
        method="GET",
        path="/api/v1/jobs/{job_id}/events",
        caller="reader",
        handle=events,
        summary="Watch a job until it ends (server-sent events)",
        description="Each event `job` carries the whole job; the last one is `end`. After a break, Last-Event-ID"
        " goes on where the stream stopped.",
        media_type="text/event-stream",
        answer_example=f"event: job\nid: 4\ndata: {orjson.dumps(_EXAMPLE).decode()}\n\n",
        errors=(JobNotFoundError, EventIdInvalidError),
    )


def last_event_id(text: str | None) -> int:
    """The revision a client has seen; 0 for none. Raises EventIdInvalidError."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()) or len(text) > _MAX_EVENT_ID_DIGITS:
        raise EventIdInvalidError(value=text[:40], reason="Last-Event-ID")
    return int(text)


def event_bytes(job: Job) -> bytes:
    """A job as one server-sent event. JSON has no raw line ends, so one data line is enough."""
    name = b"end" if job.is_final else b"job"
    return b"event: %s\nid: %d\ndata: %s\n\n" % (name, job.revision, orjson.dumps(job))


async def _stream(
    opening: Opening, project_id: int, job_id: str, seen: int, keep_alive_seconds: float
) -> AsyncIterator[bytes]:
    """The events of a job after revision ``seen``; at least every ``keep_alive_seconds`` a sign of life."""
    spoken = time.monotonic()
    async with aclosing(_looks(opening, project_id, job_id, seen)) as looks:
        async for job in looks:
            if opening.ending.is_set():
                return
            if job is not None:
                spoken = time.monotonic()
                yield event_bytes(job)
            elif time.monotonic() - spoken >= keep_alive_seconds:
                spoken = time.monotonic()
                yield _KEEP_ALIVE


async def _looks(opening: Opening, project_id: int, job_id: str, seen: int) -> AsyncGenerator[Job | None, None]:
    """The job each time it has changed, None about every ``_LOOK_SECONDS``, until it is final.

    A database that is away for a while ends nothing.
    """
    while True:
        try:
            watch = opening.skep.jobs.watch(project_id, job_id, after_revision=seen, silence_seconds=_LOOK_SECONDS)
            async for job in watch:
                seen = seen if job is None else job.revision
                yield job
            return
        except UnavailableError as error:
            event(_log, logging.WARNING, "stream waits", job=job_id, reason=str(error))
            yield None
            await asyncio.sleep(_LOOK_SECONDS)


_EXAMPLE: dict[str, object] = {
    "job_id": "job_01kaf3w2x9c0v6m1t8b4qz7h5n",
    "kind": "index",
    "subject": "collection:app",
    "queue": "folders",
    "priority": 0,
    "state": "running",
    "progress": {"phase": "index", "done": 120, "total": 214},
    "result": None,
    "error": None,
    "attempts": 1,
    "cancel_requested": False,
    "revision": 4,
    "created_at": "2026-11-20T10:13:00.120000+00:00",
    "started_at": "2026-11-20T10:13:00.240000+00:00",
    "finished_at": None,
}
