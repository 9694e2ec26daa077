"""Errors of jobs.

NotFoundError
└── JobNotFoundError    no such job in this project
ConflictError
└── JobFinishedError    it has ended already
SkepError               as they stand in a failed job
├── JobFailedError      its code had a defect
├── JobLostError        its worker died, or lost the database, too often
├── JobUnqueuedError    it has no place in the queue
└── JobUnknownError     this Skep does not know how to do it
"""

from __future__ import annotations

from skep.errors import ConflictError, NotFoundError, SkepError


class JobNotFoundError(NotFoundError):
    """There is no job {job_id}."""

    fix = "List the jobs of the project with GET /api/v1/jobs; finished ones are kept for 30 days."


class JobFinishedError(ConflictError):
    """The job {job_id} has ended already: it {state}."""

    fix = "Start it anew if it should run again."


class JobFailedError(SkepError):
    """The job failed for a reason that Skep did not foresee: {reason}"""

    fix = "Look at the log for the trace {trace_id}; please report it."


class JobLostError(SkepError):
    """The job was given up after {lost_attempts} attempts that ended without an answer."""

    fix = "Look at the log of the worker (memory is the usual cause), then start the job anew."


class JobUnqueuedError(SkepError):
    """The job had no place in the queue any more, as after restoring a part of a backup, and would have waited for ever."""

    fix = "Start the job anew."


class JobUnknownError(SkepError):
    """This Skep does not know jobs of the kind {kind}."""

    fix = "Update the worker to the version of the server."
