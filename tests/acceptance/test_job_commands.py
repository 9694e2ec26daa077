"""Jobs as people meet them on the command line."""

from __future__ import annotations

import asyncio

from skep.access import Access
from skep.jobs import JobOrder, Jobs
from skep.store import Database, ExternalServer
from tests.command import Command


def test_the_life_of_a_job(skep_on: Command) -> None:
    assert skep_on("jobs", "list").out == "no jobs\n"
    job_id = asyncio.run(_ask(skep_on))
    (listed,) = skep_on("jobs", "list", "--queue", "ingest", "--json").answer["jobs"]
    assert (listed["job_id"], listed["state"], listed["queue"], listed["priority"]) == (job_id, "queued", "ingest", 5)
    assert skep_on("jobs", "retry", job_id, "--json", code=1).error["code"] == "job_not_over"
    assert skep_on("jobs", "cancel", job_id, "--json").answer["state"] == "cancelled"
    assert skep_on("jobs", "retry", job_id, "--json").answer["state"] == "queued"
    assert skep_on("jobs", "show", job_id).out.startswith(f"{job_id}  queued  ingest  dance document:1\n")
    assert skep_on("jobs", "show", "job_none", "--json", code=1).error["code"] == "job_not_found"


def test_queues_are_paused_drained_and_resumed(skep_on: Command) -> None:
    skep_on("status")  # makes the key
    asyncio.run(_ask(skep_on))
    paused = skep_on("jobs", "pause", "ingest", "--json").answer
    assert (paused["queue"], paused["depth"], paused["paused_at"] is not None) == ("ingest", 1, True)
    assert skep_on("jobs", "drain", "folders").out.startswith("folders: 0 wait, 0 run, 0 failed, paused since ")
    states = {state["queue"]: state["paused_at"] for state in skep_on("jobs", "queues", "--json").answer["queues"]}
    assert {queue for queue, paused_at in states.items() if paused_at} == {"ingest", "folders"}
    assert skep_on("jobs", "resume", "ingest").out.startswith("ingest: 1 wait (the oldest for ")
    assert skep_on("jobs", "pause", "nobody", "--json", code=2).error["code"] == "queue_unknown"
    assert skep_on("worker", "--queues", "nobody", code=2).err.startswith("error: There is no queue nobody")


async def _ask(command: Command) -> str:
    """Ask for a job that no worker of ours knows."""
    assert command.url is not None
    database = Database(ExternalServer(command.url))
    await database.open()
    try:
        access = Access(database, key_file=command.data / "admin.key")
        who = await access.authenticate_local(None)
        order = JobOrder("dance", "document:1", {}, {}, "ingest", priority=5)
        return (await Jobs(database, queue="node-none").submit(who.project_id, order)).job_id
    finally:
        await database.close()
