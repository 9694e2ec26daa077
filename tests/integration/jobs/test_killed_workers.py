"""Workers that are killed or stopped in the middle of much work: every job is done, no effect happens twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from skep.jobs import JobOrder, Jobs
from tests.command import SOURCE
from tests.integration.jobs.test_silent_workers import PROGRAM, QUEUE, Scene, until
from tests.levels import full
from tests.workspace import Workspace

JOBS = 2_000
WORKERS = 2
CONCURRENCY = 4
SEED = 20_261_128


@pytest.fixture
async def scene(workspace: Workspace, database_url: str, tmp_path: Path) -> Scene:
    await workspace.execute("create table effect (job_id text not null, process_id integer not null)")
    return Scene(workspace, Jobs(workspace.skep.database, queue=QUEUE), database_url, tmp_path)


@pytest.mark.parametrize("outcome", ["step", "return"])
async def test_a_stopped_worker_that_wakes_up_writes_nothing(scene: Scene, outcome: str) -> None:
    async with scene.worker() as one, scene.worker() as two:
        job_id = await scene.submit("write")
        await until(lambda: "begin" in one.effects() + two.effects())
        stale, heir = (one, two) if "begin" in one.effects() else (two, one)
        os.kill(stale.pid, signal.SIGSTOP)
        await until(lambda: "begin" in heir.effects())
        stale.open_gate(outcome)
        os.kill(stale.pid, signal.SIGCONT)
        await until(lambda: "end" in stale.effects())
        # Whatever it does after its handler it has done before it takes the next one.
        other = await scene.final(await scene.submit("quick", subject="other"))
        assert other.result == stale.pid
        assert await scene.workspace.rows("select * from effect") == []
        heir.open_gate("return")
        assert (await scene.final(job_id)).result == heir.pid
        assert await scene.workspace.rows("select * from effect") == [(job_id, heir.pid)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [5, full(100)])
async def test_every_job_is_done_once_however_often_workers_are_killed(scene: Scene, kills: int) -> None:
    chance = random.Random(SEED)
    project = scene.workspace.who.project_id
    async with scene.workspace.skep.database.transaction() as connection:
        for number in range(JOBS):
            order = JobOrder("count", "", {"number": number}, {}, tries=100)
            await scene.jobs.submit_within(connection, project, order)
    crew = [await _begin(scene) for _ in range(WORKERS)]
    try:
        for killed in range(kills):
            # Spread over the work: each kill comes when its share is done.
            await _until_done(scene, JOBS * (killed + 1) // (kills + 1))
            await asyncio.sleep(chance.uniform(0, 0.02))
            victim = chance.randrange(WORKERS)
            crew[victim].kill()
            await crew[victim].wait()
            crew[victim] = await _begin(scene)
        await _until_done(scene, JOBS)
    finally:
        for process in crew:
            process.terminate()
        for process in crew:
            await asyncio.wait_for(process.wait(), 20)
    assert await scene.workspace.rows("select state, count(*) from job group by state") == [("succeeded", JOBS)]
    assert await scene.workspace.rows("select count(*), count(distinct job_id) from effect") == [(JOBS, JOBS)]
    assert await scene.workspace.rows("select count(*) from procrastinate.procrastinate_jobs") == [(0,)]
    ((again,),) = await scene.workspace.rows("select count(*) from job where attempts > 1")
    assert int(str(again)) > 0, "no kill hit a job: the test shows nothing"


async def _begin(scene: Scene) -> Process:
    arguments = (sys.executable, str(PROGRAM), scene.url, QUEUE, str(scene.folder), str(CONCURRENCY))
    return await asyncio.create_subprocess_exec(*arguments, env={**os.environ, "PYTHONPATH": SOURCE})


async def _until_done(scene: Scene, count: int) -> None:
    deadline = time.monotonic() + 300
    while True:
        ((found,),) = await scene.workspace.rows("select count(*) from job where state = 'succeeded'")
        done = int(str(found))
        if done >= count:
            return
        assert time.monotonic() < deadline, f"{done} of {count} jobs were done"
        await asyncio.sleep(0.05)
