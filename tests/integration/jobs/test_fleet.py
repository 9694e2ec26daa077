"""The fleet: queues, order, tries, effects that happen once, pausing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from skep.jobs import (
    FLEET_QUEUES,
    FOLDERS,
    Job,
    JobContext,
    JobDoneError,
    JobEnding,
    JobHandler,
    JobNotOverError,
    JobOrder,
    Jobs,
    QueueBusyError,
    QueueUnknownError,
    Worker,
    WorkerOptions,
    known_queues,
)
from skep.store import Connection, DatabaseUnavailableError
from tests.workspace import Workspace

QUEUE = "node-test"


@pytest.fixture
async def jobs(workspace: Workspace) -> Jobs:
    await workspace.execute("create table effect (job_id text not null)")
    return Jobs(workspace.skep.database, queue=QUEUE)


def order(number: int = 0, *, queue: str = "default", subject: str = "", priority: int = 0, tries: int = 3) -> JobOrder:
    return JobOrder("work", subject, {"number": number}, {}, queue, priority, tries)


@asynccontextmanager
async def working(
    workspace: Workspace, work: JobHandler, *, queues: tuple[str, ...] = FLEET_QUEUES, concurrency: int = 1
) -> AsyncIterator[Worker]:
    options = WorkerOptions(queues, concurrency, "here", heartbeat_seconds=0.2, silent_seconds=1.6, mend_seconds=0.3)
    worker = Worker(workspace.skep.database, {"work": work}, options)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 15)


async def until_final(workspace: Workspace, jobs: Jobs, job_id: str) -> Job:
    async with asyncio.timeout(20):
        async for job in jobs.watch(workspace.who.project_id, job_id):
            if job is not None and job.is_final:
                return job
    raise AssertionError("it did not end")


async def test_higher_priorities_begin_first(workspace: Workspace, jobs: Jobs) -> None:
    begun: list[int] = []

    async def work(context: JobContext) -> object:
        begun.append(context.arguments["number"])
        return None

    project = workspace.who.project_id
    last = await jobs.submit(project, order(-5, priority=-5))
    for number in (0, 7, 3):
        await jobs.submit(project, order(number, priority=number))
    async with working(workspace, work):
        assert (await until_final(workspace, jobs, last.job_id)).priority == -5
    assert begun == [7, 3, 0, -5]


async def test_a_document_has_one_job_at_a_time_in_whichever_queue(workspace: Workspace, jobs: Jobs) -> None:
    running: list[int] = []
    most = 0

    async def work(context: JobContext) -> object:
        nonlocal most
        running.append(context.arguments["number"])
        most = max(most, len(running))
        await asyncio.sleep(0.15)
        running.remove(context.arguments["number"])
        return None

    project = workspace.who.project_id
    made = [
        await jobs.submit(project, order(n, queue=queue, subject="document:1")) for n, queue in enumerate(FLEET_QUEUES)
    ]
    async with working(workspace, work, concurrency=4):
        assert {(await until_final(workspace, jobs, job.job_id)).state for job in made} == {"succeeded"}
    assert most == 1


async def test_what_has_no_subject_waits_for_nothing(workspace: Workspace, jobs: Jobs) -> None:
    together = asyncio.Barrier(3)

    async def work(_: JobContext) -> object:
        await together.wait()
        return None

    made = [await jobs.submit(workspace.who.project_id, order(number)) for number in range(3)]
    async with working(workspace, work, concurrency=3):
        assert {(await until_final(workspace, jobs, job.job_id)).state for job in made} == {"succeeded"}


async def test_a_worker_takes_of_its_queues_only(workspace: Workspace, jobs: Jobs) -> None:
    async def work(_: JobContext) -> object:
        return None

    project = workspace.who.project_id
    other = await jobs.submit(project, order(queue="analysis"))
    own = await jobs.submit(project, order(queue="ingest"))
    async with working(workspace, work, queues=("ingest",)):
        assert (await until_final(workspace, jobs, own.job_id)).queue == "ingest"
        (worker,) = await jobs.workers()
        assert (worker.node, worker.queues, worker.concurrency, worker.online) == ("here", ("ingest",), 1, True)
    assert (await jobs.fetch(project, other.job_id)).state == "queued"
    assert [job.job_id for job in await jobs.recent(project, queue="analysis")] == [other.job_id]


async def test_work_is_asked_for_in_the_transaction_that_needs_it(workspace: Workspace, jobs: Jobs) -> None:
    project, database = workspace.who.project_id, workspace.skep.database

    async def undone() -> None:
        async with database.transaction() as connection:
            await jobs.submit_within(connection, project, order(1))
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        await undone()
    assert await workspace.rows("select count(*) from procrastinate.procrastinate_jobs") == [(0,)]
    async with database.transaction() as connection:
        job_id = await jobs.submit_within(connection, project, order(1, subject="document:1"))
        assert await jobs.submit_within(connection, project, order(1, subject="document:1")) == job_id
    assert [job.job_id for job in await jobs.recent(project)] == [job_id]


async def test_tries_are_the_orders_own(workspace: Workspace, jobs: Jobs) -> None:
    async def work(_: JobContext) -> object:
        raise DatabaseUnavailableError(where="elsewhere", reason="away")

    job = await jobs.submit(workspace.who.project_id, order(tries=2))
    async with working(workspace, work):
        done = await until_final(workspace, jobs, job.job_id)
    assert (done.state, done.attempts) == ("failed", 2)


async def test_what_failed_can_be_tried_again(workspace: Workspace, jobs: Jobs) -> None:
    works = asyncio.Event()

    async def work(_: JobContext) -> object:
        if not works.is_set():
            raise RuntimeError("a defect")
        return "mended"

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    with pytest.raises(JobNotOverError, match="queued"):
        await jobs.retry(project, job.job_id)
    async with working(workspace, work):
        assert (await until_final(workspace, jobs, job.job_id)).state == "failed"
        assert {state.queue: state.failed for state in await jobs.queues()}["default"] == 1
        works.set()
        again = await jobs.retry(project, job.job_id)
        assert (again.job_id, again.error) == (job.job_id, None)
        done = await until_final(workspace, jobs, job.job_id)
    assert (done.state, done.result, done.attempts) == ("succeeded", "mended", 2)
    with pytest.raises(JobDoneError):
        await jobs.retry(project, job.job_id)


async def test_the_last_effect_is_written_with_the_end(workspace: Workspace, jobs: Jobs) -> None:
    keys: list[str] = []

    async def work(context: JobContext) -> object:
        keys.append(context.idempotency_key("send"))

        async def write(connection: Connection) -> None:
            await connection.execute("insert into effect values (%s)", [context.job_id])
            if len(keys) == 1:
                raise ValueError("odd")

        return JobEnding({"n": len(keys)}, write)

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, work):
        assert (await until_final(workspace, jobs, job.job_id)).state == "failed"
        assert await workspace.rows("select * from effect") == []
        await jobs.retry(project, job.job_id)
        done = await until_final(workspace, jobs, job.job_id)
    assert (done.state, done.result) == ("succeeded", {"n": 2})
    assert await workspace.rows("select * from effect") == [(job.job_id,)]
    assert keys == [f"{job.job_id}/send"] * 2


async def test_a_cancelled_job_writes_nothing_any_more(workspace: Workspace, jobs: Jobs) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(context: JobContext) -> object:
        async with context.transaction() as connection:
            await connection.execute("insert into effect values ('before')")
        begun.set()
        await cancelled.wait()
        async with context.transaction() as connection:
            await connection.execute("insert into effect values ('after')")
        return None

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, work):
        await begun.wait()
        await jobs.cancel(project, job.job_id)
        cancelled.set()
        assert (await until_final(workspace, jobs, job.job_id)).state == "cancelled"
    assert await workspace.rows("select * from effect") == [("before",)]


async def test_a_paused_queue_begins_nothing_until_it_goes_on(workspace: Workspace, jobs: Jobs) -> None:
    async def work(_: JobContext) -> object:
        return None

    project = workspace.who.project_id
    async with working(workspace, work):
        assert (await jobs.pause("ingest")).paused_at is not None
        held = await jobs.submit(project, order(queue="ingest"))
        free = await jobs.submit(project, order(queue="default"))
        assert (await until_final(workspace, jobs, free.job_id)).state == "succeeded"
        await asyncio.sleep(1.5)
        waiting = await jobs.queue("ingest")
        assert (waiting.depth, waiting.active) == (1, 0)
        assert waiting.oldest_seconds > 1
        assert (await jobs.resume("ingest")).paused_at is None
        assert (await until_final(workspace, jobs, held.job_id)).state == "succeeded"


async def test_draining_waits_for_what_runs(workspace: Workspace, jobs: Jobs) -> None:
    gate = asyncio.Event()

    async def work(_: JobContext) -> object:
        await gate.wait()
        return None

    project = workspace.who.project_id
    first, second = [await jobs.submit(project, order(number)) for number in range(2)]
    async with working(workspace, work):
        async for job in jobs.watch(project, first.job_id):
            if job is not None and job.state == "running":
                break
        with pytest.raises(QueueBusyError, match="1 jobs of the queue default still run"):
            await jobs.drain("default", timeout_seconds=0.5)
        gate.set()
        state = await jobs.drain("default", timeout_seconds=10)
        assert (state.active, state.depth) == (0, 1)
        assert (await jobs.fetch(project, first.job_id)).state == "succeeded"
        assert (await jobs.fetch(project, second.job_id)).state == "queued"
        await jobs.resume("default")
        assert (await until_final(workspace, jobs, second.job_id)).state == "succeeded"


async def test_queues_are_named(workspace: Workspace, jobs: Jobs) -> None:
    assert [state.queue for state in await jobs.queues()] == ["analysis", "default", "ingest", FOLDERS]
    job = await jobs.submit(workspace.who.project_id, order(queue=FOLDERS))
    assert job.queue == FOLDERS
    assert await workspace.rows("select queue from job") == [(QUEUE,)]
    with pytest.raises(QueueUnknownError, match="no queue nobody"):
        await jobs.pause("nobody")
    assert known_queues(["ingest,analysis", "ingest"]) == ("ingest", "analysis")
    with pytest.raises(QueueUnknownError, match="nobody"):
        known_queues(["nobody"])
