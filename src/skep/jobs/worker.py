"""Doing jobs: one process, a few at a time, on top of procrastinate.

The queue decides who runs what next and remembers which worker has it; our own table says what people see. A place in
the queue is good for one attempt: a job that runs again gets a new one. So a worker that was taken for dead changes
nothing when it wakes up, neither in our table nor in the queue, not even if it was stopped before it began. What becomes
of an attempt and of its place is written in one transaction, by us; the queue's own word on it is not needed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import conninfo as libpq

from skep.errors import SkepError, UnavailableError
from skep.jobs.attempts import Attempt, Claim, StopError, StopReason
from skep.jobs.interfaces import JobFailedError, JobLostError, JobUnknownError, JobUnqueuedError
from skep.jobs.models import JobContext, JobEnding, JobError, JobHandler, JobProgress
from skep.jobs.service import SILENT_SECONDS, TASK, queries, to_jsonb
from skep.observe import event, new_trace_id, tracing
from skep.store import Connection, Database, OwnConnection

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.jobs import Job as ProcrastinateJob
    from procrastinate.manager import JobManager

KEPT_DAYS = 30
"""How long finished jobs can be looked at."""

_HEARTBEAT_SECONDS = 2.0
_MEND_SECONDS = 3.0
_FETCH_SECONDS = 1.0
"""How often the queue is asked besides its notifications: nothing notifies when the pause of a job is over."""

_GRACE_SECONDS = 8.0
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
_LOST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 300.0
_CONCLUDE_AGAIN_SECONDS = 0.5
_CANCEL_AGAIN_SECONDS = 0.5

_Write = Callable[[Connection], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works. ``silent_seconds``: when another worker is taken for dead; at least four times the heartbeat."""

    queues: tuple[str, ...]
    concurrency: int = 1
    node: str = ""
    """Names the machine, among those that look at workers."""
    heartbeat_seconds: float = _HEARTBEAT_SECONDS
    silent_seconds: float = SILENT_SECONDS
    mend_seconds: float = _MEND_SECONDS

    @property
    def lease_seconds(self) -> float:
        """How long an attempt may go on without hearing from the database: it ends before others take its worker for
        dead, who may have heard of it up to a heartbeat earlier than itself; one more for the way there.
        """
        return self.silent_seconds - 2 * self.heartbeat_seconds


class Worker:
    """Does the jobs of some queues, and mends what dead workers of any queue left behind."""

    def __init__(self, database: Database, handlers: Mapping[str, JobHandler], options: WorkerOptions) -> None:
        self._database = database
        self._handlers = handlers
        self._options = options
        self._attempts: set[Attempt] = set()
        self._stopping = asyncio.Event()
        self._worker_id: int | None = None

    @property
    def queues(self) -> tuple[str, ...]:
        """Whose jobs it does."""
        return self._options.queues

    def stop(self) -> None:
        """Begin nothing new, give running jobs back to the queue at their next report, then let `run` end."""
        self._stopping.set()
        for attempt in self._attempts:
            attempt.stop("shutdown")

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
            mending = asyncio.create_task(self._mend_regularly(), name="skep-mend-jobs")
            tasks = {
                mending,
                asyncio.create_task(run_queue(), name="skep-queue"),
                asyncio.create_task(self._stopping.wait(), name="skep-worker-stop"),
            }
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # The queue finishes what runs (at most the grace time), then ends.
                for task in tasks - {mending}:
                    task.cancel()
                await end_task(mending)
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
            connection_class=OwnConnection,
        )
        app = procrastinate.App(connector=connector)
        _silence(app.job_manager)
        setattr(app.job_manager, "fetch_job", partial(self._take, connector))  # noqa: B010 -- as above
        app.task(name=TASK, pass_context=True)(self._run_job)
        async with app.open_async():

            async def run() -> None:
                await app.run_worker_async(
                    queues=list(self._options.queues),
                    concurrency=self._options.concurrency,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=_FETCH_SECONDS,
                    shutdown_graceful_timeout=_GRACE_SECONDS,
                    update_heartbeat_interval=self._options.heartbeat_seconds,
                    stalled_worker_timeout=10 * self._options.silent_seconds,
                )

            yield run

    async def _take(
        self, connector: procrastinate.PsycopgConnector, queues: Sequence[str], worker_id: int
    ) -> ProcrastinateJob | None:
        """The next place, as the queue's library takes it; never of a queue that is paused."""
        from procrastinate.jobs import Job as ProcrastinateJob  # lazy: as above

        if worker_id != self._worker_id:
            await self._introduce(worker_id)
        statement = queries["take_place"].decode()
        row = await connector.execute_query_one_async(statement, queues=list(queues), worker_id=worker_id)
        return None if row["id"] is None else ProcrastinateJob.from_row(row)

    async def _introduce(self, worker_id: int) -> None:
        """Say what we are good for, to those who look at workers."""
        options = self._options
        said = {"queues": list(options.queues), "concurrency": options.concurrency, "node": options.node}
        await self._database.execute(
            queries["note_worker"], {**said, "worker_id": worker_id, "process_id": os.getpid()}
        )
        self._worker_id = worker_id

    async def _queue_conninfo(self) -> str:
        base = await self._database.conninfo()
        options = libpq.conninfo_to_dict(base).get("options") or ""
        return libpq.make_conninfo(base, options=f"{options} -c search_path=procrastinate,public".strip())

    async def _run_job(self, context: procrastinate.JobContext, job_id: str) -> None:
        """What the queue calls. When it returns, the place in the queue is used up, and a new one made if need be."""
        place = {"job_id": job_id, "queue_job_id": context.job.id}
        try:
            await self._do(place)
        except asyncio.CancelledError:
            # The grace time of a shutdown is over. Should this not be written any more, the mending does it.
            await self._conclude_once("requeue_attempt", place | {"lost": 0}, pause_seconds=0.0)
            raise
        except Exception as error:  # noqa: BLE001 -- the border to the queue; whatever it is, the job is tried again
            event(_log, logging.WARNING, "job not begun or not ended", job=job_id, reason=str(error))
            # A database that was away says nothing of the job.
            lost = 0 if isinstance(error, UnavailableError) else 1
            await self._conclude("requeue_attempt", place | {"lost": lost}, pause_seconds=_LOST_PAUSE_SECONDS)

    async def _do(self, place: Mapping[str, Any]) -> None:
        claimed_at = time.monotonic()
        claim = await self._database.fetch_one(Claim, queries["start_job"], place)
        if claim is None:
            await self._conclude("cancel_unstarted", place)
            return
        with tracing(new_trace_id()) as trace_id:
            started = time.perf_counter()
            event(_log, logging.INFO, "job started", job=claim.job_id, kind=claim.kind, subject=claim.subject)
            state = await self._attempt(claim, claimed_at, trace_id)
            seconds = round(time.perf_counter() - started, 3)
            event(_log, logging.INFO, "job ended", job=claim.job_id, kind=claim.kind, state=state, seconds=seconds)

    async def _attempt(self, claim: Claim, claimed_at: float, trace_id: str) -> str:
        """Do a job once, and write what came of it; that in one word, for the log."""
        lease = self._options.lease_seconds
        attempt = Attempt(self._database, claim, lease_seconds=lease, claimed_at=claimed_at)
        earlier = [other for other in self._attempts if claim.lock is not None and other.lock == claim.lock]
        self._attempts.add(attempt)
        ticker = asyncio.create_task(attempt.tick(), name=f"skep-job-{claim.job_id}")
        try:
            if self._stopping.is_set():
                attempt.stop("shutdown")
            await _let_end(earlier)
            result = await self._call(claim, attempt)
        except StopError as stop:
            return await self._stopped(claim, stop.why)
        except UnavailableError as error:
            return await self._lost(claim, error, reason=str(error))
        except SkepError as error:
            return await self._finish(claim, "failed", error=error, progress=attempt.progress)
        except Exception as error:  # noqa: BLE001 -- the border to code that may have defects; logged, and told
            return await self._failed(claim, error, trace_id)
        finally:
            self._attempts.discard(attempt)
            attempt.end()
            await end_task(ticker)
        try:
            return await self._finish(claim, "succeeded", result=result, progress=attempt.progress)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 -- what it answers cannot be written: a defect like any other
            return await self._failed(claim, error, trace_id)

    async def _call(self, claim: Claim, attempt: Attempt) -> object:
        handler = self._handlers.get(claim.kind)
        if handler is None:
            raise JobUnknownError(kind=claim.kind)
        context = JobContext(
            claim.job_id, claim.project_id, claim.arguments, claim.requested_by, attempt.report, attempt.transaction
        )
        attempt.report("start", 0, 0)
        return await handler(context)

    async def _stopped(self, claim: Claim, why: StopReason) -> str:
        if why == "shutdown":
            return await self._requeue(claim, lost=0, pause_seconds=0.0)
        if why == "silent":
            lost = JobLostError(lost_attempts=claim.lost_attempts + 1)
            return await self._lost(claim, lost, reason="the worker did not hear from the database for too long")
        if why == "cancelled":
            return await self._finish(claim, "cancelled")
        # Our table and the queue know already; the place is gone.
        return why

    async def _lost(self, claim: Claim, error: SkepError, *, reason: str) -> str:
        """Something the job needs does not answer: try again, not for ever. Then it fails with the error."""
        event(_log, logging.WARNING, "job interrupted", job=claim.job_id, reason=reason)
        if claim.lost_attempts + 1 >= claim.tries:
            return await self._finish(claim, "failed", error=error)
        return await self._requeue(claim, lost=1, pause_seconds=pause_before(claim.lost_attempts))

    async def _failed(self, claim: Claim, error: Exception, trace_id: str) -> str:
        _log.error("job failed", exc_info=error)
        failure = JobFailedError(reason=f"{type(error).__name__}: {error}", trace_id=trace_id)
        return await self._finish(claim, "failed", error=failure)

    async def _requeue(self, claim: Claim, *, lost: int, pause_seconds: float) -> str:
        bound = claim.key | {"lost": lost}
        return "again" if await self._conclude("requeue_attempt", bound, pause_seconds=pause_seconds) else "taken"

    async def _finish(
        self,
        claim: Claim,
        state: str,
        *,
        result: object = None,
        error: SkepError | None = None,
        progress: JobProgress | None = None,
    ) -> str:
        write = None
        if isinstance(result, JobEnding):
            write = result.write
            result = result.result
        bound = claim.key | {
            "state": state,
            "result": None if result is None else to_jsonb(result),
            "error": None if error is None else to_jsonb(described(error)),
            "progress": None if progress is None else to_jsonb(asdict(progress)),
        }
        return state if await self._conclude("finish_attempt", bound, write=write) else "taken"

    async def _conclude(
        self,
        statement: str,
        bound: Mapping[str, Any],
        *,
        pause_seconds: float | None = None,
        write: _Write | None = None,
    ) -> bool:
        """`_conclude_once`, again and again while the database is away and we are not told to stop.

        The queue believes that this worker has the job for as long as the worker lives: nobody else would mend it.
        """
        while True:
            try:
                return await self._conclude_once(statement, bound, pause_seconds=pause_seconds, write=write)
            except UnavailableError as error:
                if self._stopping.is_set():
                    raise
                event(_log, logging.WARNING, "end of a job not written", job=bound["job_id"], reason=str(error))
                await _wait(self._stopping, _CONCLUDE_AGAIN_SECONDS)

    async def _conclude_once(
        self,
        statement: str,
        bound: Mapping[str, Any],
        *,
        pause_seconds: float | None = None,
        write: _Write | None = None,
    ) -> bool:
        """Use up the place in the queue, and let the statement write what becomes of the job, and ``write`` the rest:
        all or nothing.

        With a pause the job gets a new place, which opens after it. False when the job was no longer ours: then nothing
        changed. The place comes first, because mending locks in that order too.
        """
        async with self._database.transaction() as connection:
            async with connection.pipeline():
                await connection.execute(queries["enter_queue_schema"])
                await connection.execute(queries["leave_place"], bound)
                written = await connection.execute(queries[statement], bound)
            ours = written.rowcount > 0
            if ours and pause_seconds is not None:
                await connection.execute(queries["open_place"], {**bound, "task": TASK, "pause_seconds": pause_seconds})
            if ours and write is not None:
                await write(connection)
        return ours

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
            await self._database.execute(queries["forget_workers"])
            if now >= next_cleaning:
                await self._database.execute(queries["delete_old_jobs"], {"days": KEPT_DAYS})
                next_cleaning = now + 3600

    async def adopt(self) -> int:
        """Mend every job of our queues that is said to be running, at once. Only for a worker that knows itself alone."""
        return await self._mend(list(self._options.queues), silent_seconds=0.0)

    async def mend(self) -> int:
        """Let jobs whose worker is gone run again, or fail them when that happened too often; how many there were.

        procrastinate leaves them in ``doing`` for ever (its issue 1518).
        """
        return await self._mend(None, silent_seconds=self._options.silent_seconds)

    async def _mend(self, queues: list[str] | None, *, silent_seconds: float) -> int:
        bound = {
            "task": TASK,
            "queues": queues,
            "silent_seconds": silent_seconds,
            "error": to_jsonb(described(JobLostError(lost_attempts="{lost_attempts}"))),
            "pause_seconds": 0.0,
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
                await connection.execute(queries["leave_place"], one)
                if revived is not None:
                    await connection.execute(queries["open_place"], one)
                event(_log, logging.WARNING, "job lost its worker", job=job_id, again=revived is not None)
            unqueued = {"error": to_jsonb(described(JobUnqueuedError()))}
            await connection.execute(queries["fail_unqueued"], unqueued)
        return len(stalled)


def pause_before(lost_attempts: int) -> float:
    """How long a job waits that has been lost so often before: twice as long each time, and never all at the same moment."""
    pause = min(_LOST_PAUSE_SECONDS * 2.0**lost_attempts, _LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(0.75, 1.25)  # noqa: S311 -- no secret


def described(error: SkepError) -> JobError:
    """An error as a failed job keeps it. What PostgreSQL cannot keep, parts of odd file names say, is written out."""
    return JobError(error.code, _storable(str(error)), _storable(error.fix_text))


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _silence(manager: JobManager) -> None:
    """Take the queue's own last word on a job away: by then the place is gone, and it would complain."""

    async def finish_job(job: object, status: object, *, delete_job: bool) -> None:
        """Nothing is left to say."""

    setattr(manager, "finish_job", finish_job)  # noqa: B010 -- a method of this one object only


async def _let_end(attempts: Iterable[Attempt]) -> None:
    """Stop earlier attempts at the same subject in this process: they were taken for dead, but may not know it yet."""
    for attempt in attempts:
        attempt.stop("taken")
        await attempt.until_ended()


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel a task of ours until it has ended.

    Once may not be enough: `asyncio.wait_for`, on which psycopg waits, swallows a cancellation that comes together with
    the answer, up to Python 3.11.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(task, return_exceptions=True)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
