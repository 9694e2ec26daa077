"""Jobs on a real queue: nothing lost, nothing doubled, whatever happens to a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from skep.errors import UsageError
from skep.jobs import Job, JobContext, JobFinishedError, JobHandler, JobNotFoundError, JobOrder, Worker, WorkerOptions
from skep.jobs import Jobs as JobService
from skep.store import DatabaseUnavailableError
from tests.workspace import Workspace

QUEUE = "node-test"
SILENT = 1.6


def order(kind: str = "work", subject: str = "s", **arguments: object) -> JobOrder:
    return JobOrder(kind, subject, arguments, {"key_id": "k"})


@pytest.fixture
def jobs(workspace: Workspace) -> JobService:
    return JobService(workspace.skep.database, queue=QUEUE)


def make_worker(
    workspace: Workspace, handlers: Mapping[str, JobHandler], concurrency: int = 1, queue: str = QUEUE
) -> Worker:
    options = WorkerOptions(
        queues=(queue,), concurrency=concurrency, heartbeat_seconds=0.2, silent_seconds=SILENT, mend_seconds=0.3
    )
    return Worker(workspace.skep.database, handlers, options)


@asynccontextmanager
async def working(
    workspace: Workspace, handlers: Mapping[str, JobHandler], concurrency: int = 1
) -> AsyncIterator[Worker]:
    worker = make_worker(workspace, handlers, concurrency)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 15)


async def until_final(jobs: JobService, project_id: int, job_id: str, seconds: float = 20) -> Job:
    last: Job | None = None
    async with asyncio.timeout(seconds):
        async for job in jobs.watch(project_id, job_id):
            last = job or last
    assert last is not None
    return last


async def until_started(workspace: Workspace, jobs: JobService, job_id: str) -> None:
    async with asyncio.timeout(15):
        async for job in jobs.watch(workspace.who.project_id, job_id):
            if job is not None and job.state == "running":
                return


async def steps(context: JobContext) -> object:
    """Works until it is told to stop."""
    for number in range(10_000):
        context.report("step", number, 10_000)
        await asyncio.sleep(0.01)
    return None


async def test_a_job_runs_and_answers(workspace: Workspace, jobs: JobService) -> None:
    async def work(context: JobContext) -> object:
        context.report("count", 3, 3)
        return {"got": context.arguments["n"], "by": context.requested_by["key_id"]}

    project = workspace.who.project_id
    job = await jobs.submit(project, order(n=7))
    assert (job.state, job.attempts, job.result) == ("queued", 0, None)
    async with working(workspace, {"work": work}):
        done = await until_final(jobs, project, job.job_id)
    assert (done.state, done.result, done.attempts, done.error) == ("succeeded", {"got": 7, "by": "k"}, 1, None)
    assert (done.progress.phase, done.progress.done) == ("count", 3)
    assert done.created_at <= (done.started_at or done.created_at) <= (done.finished_at or done.created_at)
    assert await workspace.rows("select count(*) from procrastinate.procrastinate_jobs") == [(0,)]


async def test_the_same_request_waits_once(workspace: Workspace, jobs: JobService) -> None:
    project = workspace.who.project_id
    first, *others = await asyncio.gather(*[jobs.submit(project, order(n=1)) for _ in range(6)])
    assert {job.job_id for job in others} == {first.job_id}
    different = [order(n=2), order("other", n=1), order(subject="t", n=1)]
    ids = {first.job_id} | {(await jobs.submit(project, each)).job_id for each in different}
    assert len(ids) == 4
    stranger = await workspace.new_principal()
    assert (await jobs.submit(stranger.project_id, order(n=1))).job_id not in ids


async def test_one_job_per_subject_runs_at_a_time(workspace: Workspace, jobs: JobService) -> None:
    running: list[str] = []
    seen: list[tuple[str, ...]] = []

    async def work(context: JobContext) -> object:
        running.append(str(context.arguments["subject"]))
        seen.append(tuple(running))
        await asyncio.sleep(0.2)
        running.remove(str(context.arguments["subject"]))
        return None

    project = workspace.who.project_id
    submitted = [
        await jobs.submit(project, JobOrder("work", subject, {"subject": subject, "n": number}, {}))
        for subject in ("a", "b")
        for number in range(3)
    ]
    async with working(workspace, {"work": work}, concurrency=4):
        for job in submitted:
            assert (await until_final(jobs, project, job.job_id)).state == "succeeded"
    assert all(len(set(now)) == len(now) for now in seen)
    assert any(len(now) == 2 for now in seen)


@pytest.mark.parametrize(
    ("failure", "code", "attempts"),
    [
        (UsageError(reason="bad input"), "usage", 1),
        (RuntimeError("a defect"), "job_failed", 1),
        (DatabaseUnavailableError(where="db", reason="away"), "database_unavailable", 3),
    ],
)
async def test_failures_say_why(
    workspace: Workspace, jobs: JobService, failure: Exception, code: str, attempts: int
) -> None:
    async def work(_: JobContext) -> object:
        raise failure

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, {"work": work}):
        done = await until_final(jobs, project, job.job_id)
    assert done.error is not None
    assert (done.state, done.error.code, done.attempts) == ("failed", code, attempts)
    assert done.error.fix or code == "usage"


async def test_an_unknown_kind_fails(workspace: Workspace, jobs: JobService) -> None:
    job = await jobs.submit(workspace.who.project_id, order("dance"))
    async with working(workspace, {}):
        done = await until_final(jobs, workspace.who.project_id, job.job_id)
    assert done.error is not None
    assert (done.state, done.error.code) == ("failed", "job_unknown")


async def test_what_waits_is_cancelled_at_once(workspace: Workspace, jobs: JobService) -> None:
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    assert (await jobs.cancel(project, job.job_id)).state == "cancelled"
    assert (await jobs.cancel(project, job.job_id)).state == "cancelled"
    assert await workspace.rows("select count(*) from procrastinate.procrastinate_jobs") == [(0,)]
    assert (await jobs.submit(project, order())).job_id != job.job_id


async def test_what_runs_is_cancelled_when_it_looks(workspace: Workspace, jobs: JobService) -> None:
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, {"work": steps}):
        await until_started(workspace, jobs, job.job_id)
        asked = await jobs.cancel(project, job.job_id)
        assert asked.cancel_requested
        done = await until_final(jobs, project, job.job_id)
    assert (done.state, done.error) == ("cancelled", None)


async def test_what_is_over_cannot_be_cancelled(workspace: Workspace, jobs: JobService) -> None:
    async def work(_: JobContext) -> object:
        return None

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, {"work": work}):
        await until_final(jobs, project, job.job_id)
    with pytest.raises(JobFinishedError, match="succeeded"):
        await jobs.cancel(project, job.job_id)


async def test_progress_is_written_but_not_often(workspace: Workspace, jobs: JobService) -> None:
    async def work(context: JobContext) -> object:
        for number in range(500):
            context.report("step", number + 1, 500)
            await asyncio.sleep(0.002)
        return None

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    started = time.monotonic()
    async with working(workspace, {"work": work}):
        done = await until_final(jobs, project, job.job_id)
    assert done.progress.done == 500
    # Three changes of state besides: queued, running, succeeded.
    assert done.revision <= 4 * (time.monotonic() - started) + 3


async def test_a_worker_that_is_told_to_stop_gives_its_job_back(workspace: Workspace, jobs: JobService) -> None:
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, {"work": steps}):
        await until_started(workspace, jobs, job.job_id)
    waiting = await jobs.fetch(project, job.job_id)
    assert (waiting.state, waiting.attempts) == ("queued", 1)

    async def work(_: JobContext) -> object:
        return "done"

    async with working(workspace, {"work": work}):
        done = await until_final(jobs, project, job.job_id)
    assert (done.state, done.result, done.attempts) == ("succeeded", "done", 2)


# The queue's triggers look for their tables without a schema.
LOSE = """
do $$ begin
    perform set_config('search_path', 'public, procrastinate', true);
    update procrastinate_jobs set status = 'doing', worker_id = null where status = 'todo';
    update job set state = 'running', attempts = attempts + 1 where state = 'queued';
end $$
"""
"""What the database looks like after the worker that runs a job was killed."""


async def test_a_job_whose_worker_died_runs_again(workspace: Workspace, jobs: JobService) -> None:
    async def work(_: JobContext) -> object:
        return "second"

    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    await workspace.execute(LOSE)
    assert [stalled.job_id for stalled in await jobs.stalled()] == [job.job_id]
    async with working(workspace, {"work": work}):
        done = await until_final(jobs, project, job.job_id)
    assert (done.state, done.result, done.attempts) == ("succeeded", "second", 2)
    assert await jobs.stalled() == ()


async def test_a_lone_worker_adopts_what_its_predecessor_left(workspace: Workspace, jobs: JobService) -> None:
    """Its predecessor was killed a moment ago: the queue still believes it to be alive."""
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    await workspace.execute(LOSE)
    await workspace.execute(
        "with w as (insert into procrastinate.procrastinate_workers default values returning id)"
        " update procrastinate.procrastinate_jobs set worker_id = w.id from w"
    )
    worker = make_worker(workspace, {})
    assert await worker.mend() == 0
    assert await make_worker(workspace, {}, queue="node-other").adopt() == 0
    assert await worker.adopt() == 1
    assert (await jobs.fetch(project, job.job_id)).state == "queued"


async def test_a_job_that_kills_its_workers_is_given_up(workspace: Workspace, jobs: JobService) -> None:
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    worker = make_worker(workspace, {})
    for _ in range(3):
        await workspace.execute(LOSE)
        assert await worker.mend() == 1
    done = await jobs.fetch(project, job.job_id)
    assert done.error is not None
    assert (done.state, done.error.code, done.attempts) == ("failed", "job_lost", 3)
    assert await worker.mend() == 0
    assert await workspace.rows("select count(*) from procrastinate.procrastinate_jobs") == [(0,)]


async def test_a_cancelled_job_whose_worker_died_ends(workspace: Workspace, jobs: JobService) -> None:
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    await workspace.execute(LOSE)
    assert (await jobs.cancel(project, job.job_id)).state == "running"
    await make_worker(workspace, {}).mend()
    assert (await jobs.fetch(project, job.job_id)).state == "cancelled"


async def test_a_worker_taken_for_dead_changes_nothing(workspace: Workspace, jobs: JobService) -> None:
    """It was stopped for a while; meanwhile the job was done by another."""
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    async with working(workspace, {"work": steps}):
        await until_started(workspace, jobs, job.job_id)
        await workspace.execute(
            "update job set attempts = attempts + 1, state = 'succeeded', result = '\"theirs\"', finished_at = now()"
        )
        await asyncio.sleep(1.0)
        done = await jobs.fetch(project, job.job_id)
    assert (done.state, done.result) == ("succeeded", "theirs")


async def test_a_job_without_a_place_in_the_queue_does_not_wait_for_ever(
    workspace: Workspace, jobs: JobService
) -> None:
    project = workspace.who.project_id
    job = await jobs.submit(project, order())
    await workspace.execute("delete from procrastinate.procrastinate_events")
    await workspace.execute(
        "do $$ begin perform set_config('search_path', 'public, procrastinate', true);"
        " delete from procrastinate_jobs; end $$"
    )
    await workspace.execute("update job set created_at = now() - interval '2 minutes'")
    await make_worker(workspace, {}).mend()
    failed = await jobs.fetch(project, job.job_id)
    assert failed.error is not None
    assert (failed.state, failed.error.code, failed.error.fix) == ("failed", "job_unqueued", "Start the job anew.")


async def test_jobs_belong_to_their_project(workspace: Workspace, jobs: JobService) -> None:
    job = await jobs.submit(workspace.who.project_id, order())
    stranger = (await workspace.new_principal()).project_id
    assert await jobs.recent(stranger) == ()
    for act in (jobs.fetch, jobs.cancel):
        with pytest.raises(JobNotFoundError):
            await act(stranger, job.job_id)
    assert [one.job_id for one in await jobs.recent(workspace.who.project_id)] == [job.job_id]
    assert await jobs.recent(workspace.who.project_id, state="failed") == ()
    assert await jobs.unfinished() == (1, 0)


async def test_a_silent_watch_says_so(workspace: Workspace, jobs: JobService) -> None:
    job = await jobs.submit(workspace.who.project_id, order())
    seen: list[Job | None] = []
    async with asyncio.timeout(5):
        async for state in jobs.watch(workspace.who.project_id, job.job_id, silence_seconds=0.2):
            seen.append(state)
            if len(seen) == 2:
                break
    assert seen[0] is not None
    assert (seen[0].state, seen[1]) == ("queued", None)
