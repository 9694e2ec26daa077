"""A worker that was stopped, taken for dead, and wakes up changes nothing: neither our table nor the queue."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from skep.errors import UsageError
from skep.jobs import Job, JobContext, JobHandler, JobOrder, Jobs, Worker, WorkerOptions
from skep.store import Database, DatabaseUnavailableError, ExternalServer
from skep.store.database import Connection, Parameters, Row
from tests.command import SOURCE
from tests.integration.jobs.worker_process import HEARTBEAT_SECONDS, SILENT_SECONDS
from tests.levels import full
from tests.workspace import State, Workspace

QUEUE = "node-test"
PROGRAM = Path(__file__).with_name("worker_process.py")

OPTIONS = WorkerOptions(
    queues=(QUEUE,), heartbeat_seconds=HEARTBEAT_SECONDS, silent_seconds=SILENT_SECONDS, mend_seconds=0.3
)

ENDS = [("report", ""), ("return", "return"), ("raise", "raise")]
"""How a stale attempt ends: at its next report; by itself, with an answer; by itself, with an error that is tried again."""


@dataclass(frozen=True)
class Process:
    """A worker process, and what it left in the common folder."""

    pid: int
    folder: Path

    def open_gate(self, outcome: str) -> None:
        """Let what it works on return or raise."""
        draft = self.folder / f"{self.pid}.draft"
        draft.write_text(outcome)
        draft.rename(self.folder / str(self.pid))

    def effects(self) -> list[str]:
        """What its handlers did."""
        file = self.folder / "effects"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [word for pid, word in lines if pid == str(self.pid)]

    def milestones(self) -> list[str]:
        """The same without steps."""
        return [word for word in self.effects() if word != "step"]


@dataclass
class Scene:
    """A database, a queue, and a folder that worker processes share."""

    workspace: Workspace
    jobs: Jobs
    url: str
    folder: Path

    @asynccontextmanager
    async def worker(self, concurrency: int = 1) -> AsyncIterator[Process]:
        """A worker process; ended with the block, stopped or not."""
        arguments = (sys.executable, str(PROGRAM), self.url, QUEUE, str(self.folder), str(concurrency))
        process = await asyncio.create_subprocess_exec(*arguments, env={**os.environ, "PYTHONPATH": SOURCE})
        try:
            yield Process(process.pid, self.folder)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 20)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert process.returncode == 0

    async def submit(self, kind: str = "work", *, subject: str = "s", reports: bool = False) -> str:
        order = JobOrder(kind, subject, {"reports": reports}, {})
        return (await self.jobs.submit(self.workspace.who.project_id, order)).job_id

    async def fetch(self, job_id: str) -> Job:
        return await self.jobs.fetch(self.workspace.who.project_id, job_id)

    async def final(self, job_id: str) -> Job:
        await until(lambda: self._is_final(job_id))
        return await self.fetch(job_id)

    async def _is_final(self, job_id: str) -> bool:
        return (await self.fetch(job_id)).is_final

    async def places(self) -> State:
        """What the queue holds, and whether it is the job's own place."""
        return await self.workspace.rows(
            "select q.id, q.status::text, q.worker_id, j.queue_job_id = q.id"
            " from procrastinate.procrastinate_jobs q join job j on j.job_id = q.args ->> 'job_id' order by q.id"
        )


@pytest.fixture
def scene(workspace: Workspace, database_url: str, tmp_path: Path) -> Scene:
    return Scene(workspace, Jobs(workspace.skep.database, queue=QUEUE), database_url, tmp_path)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if value if isinstance(value, bool) else await value:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("end", "outcome"), ENDS)
async def test_another_has_begun(scene: Scene, end: str, outcome: str) -> None:
    async with scene.worker() as one, scene.worker() as two:
        job_id = await scene.submit(reports=end == "report")
        await until(lambda: "begin" in one.effects() + two.effects())
        stale, heir = (one, two) if "begin" in one.effects() else (two, one)
        os.kill(stale.pid, signal.SIGSTOP)
        await until(lambda: "begin" in heir.effects())
        done_before, places = stale.effects(), await scene.places()
        if outcome:
            stale.open_gate(outcome)
        os.kill(stale.pid, signal.SIGCONT)
        # The heir is busy, and each does one thing at a time: this shows that the stale attempt is over.
        other = await scene.final(await scene.submit("quick", subject="other"))
        assert (other.state, other.result) == ("succeeded", stale.pid)
        assert stale.effects() == [*done_before, "end"]
        now = await scene.fetch(job_id)
        assert (now.state, now.attempts, now.result, now.error) == ("running", 2, None, None)
        assert await scene.places() == places
        assert [(status, own) for _, status, _, own in places] == [("doing", True)]
        heir.open_gate("return")
        job = await scene.final(job_id)
        assert (job.state, job.attempts, job.result, job.error) == ("succeeded", 2, heir.pid, None)
        assert (stale.milestones(), heir.milestones()) == (["begin", "end"], ["begin", "end"])
        assert await scene.places() == []


@pytest.mark.parametrize("concurrency", [1, full(2)])
@pytest.mark.parametrize(("end", "outcome"), ENDS)
async def test_nobody_has_begun(scene: Scene, end: str, outcome: str, concurrency: int) -> None:
    """The job waits again, and the worker that wakes up takes it itself: anew, and only after its stale attempt ended."""
    async with scene.worker(concurrency) as stale:
        job_id = await scene.submit(reports=end == "report")
        await until(lambda: "begin" in stale.effects())
        ((first_place, *_),) = await scene.places()
        os.kill(stale.pid, signal.SIGSTOP)
        mender = Worker(scene.workspace.skep.database, {}, OPTIONS)

        async def mended() -> bool:
            return await mender.mend() == 1

        await until(mended)
        ((second_place, *rest),) = await scene.places()
        assert (rest, second_place != first_place) == (["todo", None, True], True)
        assert (await scene.fetch(job_id)).state == "queued"
        if outcome:
            stale.open_gate(outcome)
        os.kill(stale.pid, signal.SIGCONT)
        await until(lambda: stale.milestones() == ["begin", "end", "begin"])
        stale.open_gate("return")
        job = await scene.final(job_id)
        assert (job.state, job.attempts, job.result, job.error) == ("succeeded", 2, stale.pid, None)
        assert stale.milestones() == ["begin", "end", "begin", "end"]
        assert await scene.places() == []


class FragileDatabase(Database):
    """Stops before a job is begun, and fails to write its end, as often as it is told."""

    held: asyncio.Event | None = None
    """While there is one, nothing is begun until it is set."""
    reached: asyncio.Event
    failures = 0

    @override
    async def fetch_one(self, row: type[Row], query: bytes, parameters: Parameters = None) -> Row | None:
        if b"attempts = attempts + 1" in query and self.held is not None:
            self.reached.set()
            await self.held.wait()
        return await super().fetch_one(row, query, parameters)

    @override
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            yield connection
            if self.failures:
                self.failures -= 1
                raise DatabaseUnavailableError(where="test", reason="away")


@asynccontextmanager
async def fragile(scene: Scene) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(ExternalServer(scene.url))
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def working(database: Database, handlers: Mapping[str, JobHandler]) -> AsyncIterator[Worker]:
    worker = Worker(database, handlers, OPTIONS)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 20)


async def test_a_job_is_not_begun_at_a_place_that_was_given_up(scene: Scene) -> None:
    """The worker had taken the job from the queue and was stopped before it said so in our table."""
    began: list[str] = []

    async def stale(_: JobContext) -> object:
        began.append("stale")
        return "stale"

    async def heir(_: JobContext) -> object:
        began.append("heir")
        await asyncio.sleep(1.0)
        return "heir"

    job_id = await scene.submit()
    async with fragile(scene) as database:
        database.held, database.reached = asyncio.Event(), asyncio.Event()
        async with working(database, {"work": stale}):
            await database.reached.wait()
            assert await Worker(scene.workspace.skep.database, {}, OPTIONS).adopt() == 1
            async with working(scene.workspace.skep.database, {"work": heir}):
                await until(lambda: bool(began))
                database.held.set()
                job = await scene.final(job_id)
    assert (job.state, job.result, job.attempts, began) == ("succeeded", "heir", 1, ["heir"])
    assert await scene.places() == []


@pytest.mark.parametrize("kind", ["work", "cancelled"])
async def test_an_end_is_written_when_the_database_is_back(scene: Scene, kind: str) -> None:
    """A living worker would otherwise be believed to have the job for ever, and every later one of the subject waits."""

    async def work(context: JobContext) -> object:
        while kind == "cancelled":
            context.report("step", 0, 0)
            await asyncio.sleep(0.01)
        return "done"

    job_id = await scene.submit()
    next_id = await scene.submit("quick")

    async def quick(_: JobContext) -> object:
        return None

    async with fragile(scene) as database:
        database.failures = 2
        async with working(database, {"work": work, "quick": quick}):
            if kind == "cancelled":
                await until(lambda: _runs(scene, job_id))
                await scene.jobs.cancel(scene.workspace.who.project_id, job_id)
            job = await scene.final(job_id)
            assert (await scene.final(next_id)).state == "succeeded"
        assert database.failures == 0
    assert (job.state, job.attempts) == ("succeeded" if kind == "work" else "cancelled", 1)
    assert await scene.places() == []


async def _runs(scene: Scene, job_id: str) -> bool:
    return (await scene.fetch(job_id)).state == "running"


async def test_what_waits_again_is_cancelled_at_its_new_place(scene: Scene) -> None:
    job_id = await scene.submit()
    async with fragile(scene) as database:
        database.held, database.reached = asyncio.Event(), asyncio.Event()
        async with working(database, {}):
            await database.reached.wait()
            assert await Worker(scene.workspace.skep.database, {}, OPTIONS).adopt() == 1
            job = await scene.jobs.cancel(scene.workspace.who.project_id, job_id)
            assert (job.state, await scene.places()) == ("cancelled", [])
            database.held.set()
    assert (await scene.fetch(job_id)).state == "cancelled"


@pytest.mark.parametrize("answer", [object(), "\udcff", {"nul": "a\0b"}], ids=["object", "half", "nul"])
async def test_an_answer_that_cannot_be_kept_is_a_failure(scene: Scene, answer: object) -> None:
    async def work(_: JobContext) -> object:
        return answer

    job_id = await scene.submit()
    async with working(scene.workspace.skep.database, {"work": work}):
        job = await scene.final(job_id)
    assert job.error is not None
    assert (job.state, job.error.code, job.attempts) == ("failed", "job_failed", 1)


async def test_a_reason_that_cannot_be_kept_is_written_out(scene: Scene) -> None:
    async def work(_: JobContext) -> object:
        raise UsageError(reason="odd name: \udcff\0")

    job_id = await scene.submit()
    async with working(scene.workspace.skep.database, {"work": work}):
        job = await scene.final(job_id)
    assert job.error is not None
    assert r"odd name: \udcff\x00" in job.error.detail
    assert job.attempts == 1


async def test_the_order_within_a_subject_stays(scene: Scene) -> None:
    """A job that runs again comes before those that were asked for later."""
    first, second = await scene.submit(), await scene.submit("quick")
    done: list[str] = []

    async def work(context: JobContext) -> object:
        done.append(context.job_id)
        return None

    async with fragile(scene) as database:
        database.held, database.reached = asyncio.Event(), asyncio.Event()
        async with working(database, {"work": work, "quick": work}):
            await database.reached.wait()
            assert await Worker(scene.workspace.skep.database, {}, OPTIONS).adopt() == 1
            database.held.set()
            for job_id in (first, second):
                assert (await scene.final(job_id)).state == "succeeded"
    assert done == [first, second]


async def test_the_queue_has_nothing_to_complain_about(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Its own last word on a job finds no place any more, which it would call an error."""
    job_id = await scene.submit("quick")

    async def quick(_: JobContext) -> object:
        return None

    with caplog.at_level(logging.WARNING):
        async with working(scene.workspace.skep.database, {"quick": quick}):
            await scene.final(job_id)
    assert caplog.records == []
