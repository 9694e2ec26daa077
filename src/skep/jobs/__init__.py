"""Durable background work: asked for by anybody, done by workers, watched from anywhere."""

from __future__ import annotations

from skep.jobs.chores import Chore, do_chores
from skep.jobs.interfaces import (
    JobFailedError,
    JobFinishedError,
    JobLostError,
    JobNotFoundError,
    JobUnknownError,
    JobUnqueuedError,
)
from skep.jobs.metrics import JOB_METRICS, read_jobs
from skep.jobs.models import (
    FINAL_STATES,
    Job,
    JobContext,
    JobError,
    JobHandler,
    JobOrder,
    JobProgress,
    JobReport,
    JobState,
    StalledJob,
)
from skep.jobs.service import MAX_LISTED, Jobs, queue_of
from skep.jobs.worker import Worker, WorkerOptions, end_task

__all__ = [
    "FINAL_STATES",
    "JOB_METRICS",
    "MAX_LISTED",
    "Chore",
    "Job",
    "JobContext",
    "JobError",
    "JobFailedError",
    "JobFinishedError",
    "JobHandler",
    "JobLostError",
    "JobNotFoundError",
    "JobOrder",
    "JobProgress",
    "JobReport",
    "JobState",
    "JobUnknownError",
    "JobUnqueuedError",
    "Jobs",
    "StalledJob",
    "Worker",
    "WorkerOptions",
    "do_chores",
    "end_task",
    "queue_of",
    "read_jobs",
]
