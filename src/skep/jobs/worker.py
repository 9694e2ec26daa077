"""Doing jobs: one process, a few at a time, on top of procrastinate.

The queue decides who runs what next and remembers which worker has it; our own table says what people see. An attempt
proves with its number that the job is still its own, so that a worker that was taken for dead changes nothing when it
wakes up. Order at the end of an attempt: first our table, then the queue. A crash between the two runs the job once
more, which finds it final and does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from psycopg import conninfo as libpq

from skep.errors import SkepError, UnavailableError
from skep.jobs.interfaces import JobFailedError, JobLostError, JobUnknownError
from skep.jobs.models import JobContext, JobError, JobHandler, JobProgress
from skep.jobs.service import SILENT_SECONDS, TASK, queries, to_jsonb
from skep.observe import event, new_trace_id, tracing
from skep.store import Database

MAX_LOST_ATTEMPTS = 3
"""So often a job may end without an answer; then it is failed, lest it kill worker after worker."""

KEPT_DAYS = 30
"""How long finished jobs can be looked at."""

_HEARTBEAT_SECONDS = 2.0
_MEND_SECONDS = 3.0
_FETCH_SECONDS = 1.0
"""How often the queue is asked besides its notifications: a job that waits again is not notified."""

_TICK_SECONDS = 0.25
_GRACE_SECONDS = 8.0
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
_LOST_PAUSE_SECONDS = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works. ``silent_seconds``: when another worker is taken for dead; at least twice the heartbeat."""

    queue: str
    concurrency: int = 1
    heartbeat_seconds: float = _HEARTBEAT_SECONDS
    silent_seconds: float = SILENT_SECONDS
    mend_seconds: float = _MEND_SECONDS


class _StopError(Exception):
    """Raised inside a handler, by its report: the attempt shall end. Never leaves this module."""

    def __init__(self, why: Literal["cancelled", "taken", "shutdown"]) -> None:
        self.why = why
        super().__init__(why)


class _AgainError(Exception):
    """Tells the queue to run the job again. Never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Claim:
    job_id: str
    project_id: int
    kind: str
    subject: str
    arguments: dict[str, Any]
    requested_by: dict[str, Any]
    attempts: int
    lost_attempts: int

    @property
    def key(self) -> dict[str, Any]:
        return {"job_id": self.job_id, "attempt": self.attempts}


class _Attempt:
    """One attempt at a job: takes the handler's reports, writes them at most four times a second, and stops it."""

    def __init__(self, database: Database, claim: _Claim) -> None:
        self._database = database
        self._claim = claim
        self._stop: Literal["cancelled", "taken", "shutdown"] | None = None
        self._reported = JobProgress()
        self._written = JobProgress()

    @property
    def progress(self) -> JobProgress:
        return self._reported

    def report(self, phase: str, done: int, total: int) -> None:
        if self._stop is not None:
            raise _StopError(self._stop)
        self._reported = JobProgress(phase, done, total)

    def shut_down(self) -> None:
        self._stop = self._stop or "shutdown"

    async def tick(self) -> None:
        """Write what changed and hear whether to stop, until cancelled. Without a database it waits for it."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            reported = self._reported
            changed = reported != self._written
            statement = queries["note_progress" if changed else "check_attempt"]
            try:
                rows = await self._database.fetch_tuples(
                    statement, self._claim.key | {"progress": to_jsonb(asdict(reported))}
                )
            except UnavailableError as error:
                event(_log, logging.WARNING, "progress not written", job=self._claim.job_id, reason=str(error))
                continue
            self._written = reported
            if not rows:
                self._stop = "taken"
            elif rows[0][0]:
                self._stop = "cancelled"


class Worker:
    """Does the jobs of one queue, and mends what dead workers of any queue left behind."""

    def __init__(self, database: Database, handlers: Mapping[str, JobHandler], options: WorkerOptions) -> None:
        self._database = database
        self._handlers = handlers
        self._options = options
        self._attempts: set[_Attempt] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin nothing new, give running jobs back to the queue at their next report, then let `run` end."""
        self._stopping.set()
        for attempt in self._attempts:
            attempt.shut_down()

    async def run(self) -> None:
        """Work until `stop`. Whatever the database does, it is tried again."""
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                await self._work()
            except Exception as error:  # noqa: BLE001 -- a worker that survives: the cause is logged, then tried again
                if self._stopping.is_set():
                    break
                failures = 0 if time.monotonic() - started > 60 else failures + 1
                pause = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS)) - 1]
                event(_log, logging.WARNING, "worker interrupted", reason=str(error), again_in_seconds=pause)
                await _wait(self._stopping, pause)

    async def _work(self) -> None:
        """One stretch of work, until told to stop or the queue's connection fails."""
        async with self._queue() as run_queue:
            tasks = {
                asyncio.create_task(run_queue(), name="skep-queue"),
                asyncio.create_task(self._mend_regularly(), name="skep-mend-jobs"),
                asyncio.create_task(self._stopping.wait(), name="skep-worker-stop"),
            }
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # The queue finishes what runs (at most the grace time), then ends.
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    @asynccontextmanager
    async def _queue(self) -> AsyncIterator[Any]:
        """The queue's own application on connections of its own, ready to run."""
        import procrastinate  # lazy: heavy, and only workers need it

        connector = procrastinate.PsycopgConnector(
            conninfo=self._queue_conninfo,
            min_size=1,
            max_size=self._options.concurrency + 2,
            timeout=5.0,
            num_workers=1,
        )
        app = procrastinate.App(connector=connector)
        # Any exception that leaves `_run_job` means "again": answers, good or bad, are written by ourselves.
        retry = procrastinate.RetryStrategy(wait=_LOST_PAUSE_SECONDS)
        app.task(name=TASK, retry=retry)(self._run_job)
        async with app.open_async():

            async def run() -> None:
                await app.run_worker_async(
                    queues=[self._options.queue],
                    concurrency=self._options.concurrency,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    fetch_job_polling_interval=_FETCH_SECONDS,
                    shutdown_graceful_timeout=_GRACE_SECONDS,
                    update_heartbeat_interval=self._options.heartbeat_seconds,
                    stalled_worker_timeout=10 * self._options.silent_seconds,
                )

            yield run

    async def _queue_conninfo(self) -> str:
        base = await self._database.conninfo()
        options = libpq.conninfo_to_dict(base).get("options") or ""
        return libpq.make_conninfo(base, options=f"{options} -c search_path=procrastinate,public".strip())

    async def _run_job(self, job_id: str) -> None:
        """What the queue calls. Returns when the job has its answer; raises when it shall run again."""
        claim = await self._database.fetch_one(_Claim, queries["start_job"], {"job_id": job_id})
        if claim is None:
            await self._database.execute(queries["cancel_unstarted"], {"job_id": job_id})
            return
        with tracing(new_trace_id()) as trace_id:
            started = time.perf_counter()
            event(_log, logging.INFO, "job started", job=job_id, kind=claim.kind, subject=claim.subject)
            state = await self._attempt(claim, trace_id)
            seconds = round(time.perf_counter() - started, 3)
            event(_log, logging.INFO, "job ended", job=job_id, kind=claim.kind, state=state, seconds=seconds)
        if state == "again":
            raise _AgainError

    async def _attempt(self, claim: _Claim, trace_id: str) -> str:
        attempt = _Attempt(self._database, claim)
        self._attempts.add(attempt)
        ticker = asyncio.create_task(attempt.tick(), name=f"skep-job-{claim.job_id}")
        try:
            if self._stopping.is_set():
                attempt.shut_down()
            result = await self._call(claim, attempt)
        except _StopError as stop:
            return await self._stopped(claim, stop.why)
        except asyncio.CancelledError:
            # The grace time of a shutdown is over. Should this not be written any more, the mending does it.
            await self._requeue(claim, lost=0)
            raise
        except UnavailableError as error:
            return await self._lost(claim, error)
        except SkepError as error:
            return await self._finish(claim, "failed", error=error, progress=attempt.progress)
        except Exception as error:  # noqa: BLE001 -- the border to code that may have defects; logged, and told
            _log.exception("job failed")
            failure = JobFailedError(reason=f"{type(error).__name__}: {error}", trace_id=trace_id)
            return await self._finish(claim, "failed", error=failure, progress=attempt.progress)
        finally:
            self._attempts.discard(attempt)
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        return await self._finish(claim, "succeeded", result=result, progress=attempt.progress)

    async def _call(self, claim: _Claim, attempt: _Attempt) -> object:
        handler = self._handlers.get(claim.kind)
        if handler is None:
            raise JobUnknownError(kind=claim.kind)
        context = JobContext(claim.job_id, claim.project_id, claim.arguments, claim.requested_by, attempt.report)
        attempt.report("start", 0, 0)
        return await handler(context)

    async def _stopped(self, claim: _Claim, why: str) -> str:
        if why == "shutdown":
            await self._requeue(claim, lost=0)
            return "again"
        if why == "cancelled":
            return await self._finish(claim, "cancelled")
        return why

    async def _lost(self, claim: _Claim, error: UnavailableError) -> str:
        """Something the job needs does not answer: try again, not for ever."""
        event(_log, logging.WARNING, "job interrupted", job=claim.job_id, reason=str(error))
        if claim.lost_attempts + 1 >= MAX_LOST_ATTEMPTS:
            return await self._finish(claim, "failed", error=error)
        await self._requeue(claim, lost=1)
        return "again"

    async def _requeue(self, claim: _Claim, *, lost: int) -> None:
        await self._database.execute(queries["requeue_attempt"], claim.key | {"lost": lost})

    async def _finish(
        self,
        claim: _Claim,
        state: str,
        *,
        result: object = None,
        error: SkepError | None = None,
        progress: JobProgress | None = None,
    ) -> str:
        bound = claim.key | {
            "state": state,
            "result": None if result is None else to_jsonb(result),
            "error": None if error is None else to_jsonb(described(error)),
            "progress": None if progress is None else to_jsonb(asdict(progress)),
        }
        kept = await self._database.execute(queries["finish_attempt"], bound)
        return state if kept else "taken"

    async def _mend_regularly(self) -> None:
        last = time.time()
        next_cleaning = 0.0
        while True:
            await asyncio.sleep(self._options.mend_seconds)
            now = time.time()
            # After this machine slept, every worker on it looks dead until its next heartbeat: wait for that.
            slept = now - last > self._options.mend_seconds + self._options.silent_seconds / 2
            last = now
            if slept:
                continue
            await self.mend()
            if now >= next_cleaning:
                await self._database.execute(queries["delete_old_jobs"], {"days": KEPT_DAYS})
                next_cleaning = now + 3600

    async def adopt(self) -> int:
        """Mend every job of our queue that is said to be running, at once. Only for a worker that knows itself alone."""
        return await self._mend(self._options.queue, silent_seconds=0.0)

    async def mend(self) -> int:
        """Let jobs whose worker is gone run again, or fail them when that happened too often; how many there were.

        procrastinate leaves them in ``doing`` for ever (its issue 1518).
        """
        return await self._mend(None, silent_seconds=self._options.silent_seconds)

    async def _mend(self, queue: str | None, *, silent_seconds: float) -> int:
        given_up = JobLostError(lost_attempts=MAX_LOST_ATTEMPTS)
        bound = {
            "task": TASK,
            "queue": queue,
            "silent_seconds": silent_seconds,
            "max_lost_attempts": MAX_LOST_ATTEMPTS,
            "error": to_jsonb(described(given_up)),
        }
        async with self._database.transaction() as connection:
            await connection.execute(queries["enter_queue_schema"])
            stalled = await (await connection.execute(queries["lock_stalled"], bound)).fetchall()
            for queue_job_id, job_id in stalled:
                one = bound | {"queue_job_id": queue_job_id, "job_id": job_id}
                revived = await (await connection.execute(queries["revive_stalled"], one)).fetchone()
                if revived is None:
                    await connection.execute(queries["cancel_unstarted"], one)
                    await connection.execute(queries["give_up_stalled"], one)
                await connection.execute(queries["requeue_stalled" if revived else "finish_stalled"], one)
                event(_log, logging.WARNING, "job lost its worker", job=job_id, again=revived is not None)
            await connection.execute(queries["fail_unqueued"], bound)
        return len(stalled)


def described(error: SkepError) -> JobError:
    """An error as a failed job keeps it."""
    return JobError(error.code, str(error), error.fix_text)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
