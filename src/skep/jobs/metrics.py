"""What the jobs room measures: the one list."""

from __future__ import annotations

from skep.jobs.models import FLEET_QUEUES, FOLDERS
from skep.jobs.service import Jobs, queries
from skep.observe import Metric, Reading
from skep.store import Database

UNFINISHED = Metric(
    name="skep_jobs",
    kind="gauge",
    unit="jobs",
    help="Background jobs that are not done, by state (queued, running)",
    labels=("state",),
    is_read=True,
)

DEPTH = Metric(
    name="skep_job_queue_depth",
    kind="gauge",
    unit="jobs",
    help="Background jobs that wait, by queue; folders: those of all machines' own queues",
    labels=("queue",),
    is_read=True,
)
OLDEST = Metric(
    name="skep_job_queue_oldest_seconds",
    kind="gauge",
    unit="seconds",
    help="How long the oldest background job that waits has waited, by queue; 0 when none does",
    labels=("queue",),
    is_read=True,
)
ACTIVE = Metric(
    name="skep_job_queue_active",
    kind="gauge",
    unit="jobs",
    help="Background jobs that run, by queue",
    labels=("queue",),
    is_read=True,
)
FAILED = Metric(
    name="skep_job_queue_failed",
    kind="gauge",
    unit="jobs",
    help="Background jobs that failed within the last 30 days and were not tried again, by queue",
    labels=("queue",),
    is_read=True,
)
ONLINE = Metric(
    name="skep_job_workers_online",
    kind="gauge",
    unit="workers",
    help="Processes that do background jobs, on all machines, and gave a sign within the last 12 s",
    is_read=True,
)

JOB_METRICS = (UNFINISHED, DEPTH, OLDEST, ACTIVE, FAILED, ONLINE)


async def read_jobs(database: Database, *, project_id: int | None) -> list[Reading]:
    """How many jobs wait, run and failed: of a project, or of all together for None; and how many workers there are."""
    jobs = Jobs(database, queue=FOLDERS)
    rows = await database.fetch_tuples(queries["count_unfinished"], {"project_id": project_id})
    readings = [Reading(UNFINISHED, count, (state,)) for state, count in rows]
    found = await jobs.queues(project_id)
    for queue in (*FLEET_QUEUES, FOLDERS):
        # How many machines there are is no reason to have so many more time series.
        own = [state for state in found if (state.queue if state.queue in FLEET_QUEUES else FOLDERS) == queue]
        readings += [
            Reading(DEPTH, sum(state.depth for state in own), (queue,)),
            Reading(OLDEST, max(state.oldest_seconds for state in own), (queue,)),
            Reading(ACTIVE, sum(state.active for state in own), (queue,)),
            Reading(FAILED, sum(state.failed for state in own), (queue,)),
        ]
    online = {(worker.node, worker.process_id) for worker in await jobs.workers() if worker.online}
    return [*readings, Reading(ONLINE, len(online))]
