"""What the jobs room measures: the one list."""

from __future__ import annotations

from skep.jobs.service import queries
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

JOB_METRICS = (UNFINISHED,)


async def read_jobs(database: Database, *, project_id: int | None) -> list[Reading]:
    """How many jobs wait and run: of a project, or of all together for None."""
    rows = await database.fetch_tuples(queries["count_unfinished"], {"project_id": project_id})
    return [Reading(UNFINISHED, count, (state,)) for state, count in rows]
