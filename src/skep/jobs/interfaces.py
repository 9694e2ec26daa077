"""Errors of jobs.

NotFoundError
└── JobNotFoundError    no such job in this project
ConflictError
├── JobFinishedError    it has ended already
├── JobDoneError        it succeeded: there is nothing to do again
├── JobNotOverError     it waits or runs
└── QueueBusyError      something of it still runs
UsageError
└── QueueUnknownError   no such queue
SkepError               as they stand in a failed job
├── JobFailedError      its code had a defect
├── JobLostError        its worker died, or lost the database, too often
├── JobUnqueuedError    it has no place in the queue
└── JobUnknownError     this Skep does not know how to do it
"""

from __future__ import annotations

from skep.errors import ConflictError, NotFoundError, SkepError, UsageError


class JobNotFoundError(NotFoundError):
    """There is no job {job_id}."""

    fix = "List the jobs of the project with GET /api/v1/jobs; finished ones are kept for 30 days."


class JobFinishedError(ConflictError):
    """The job {job_id} has ended already: it {state}."""

    fix = "Start it anew if it should run again."


class JobDoneError(ConflictError):
    """The job {job_id} succeeded; there is nothing to try again."""

    fix = "Start the same work anew if it should be done once more."


class JobNotOverError(ConflictError):
    """The job {job_id} is not over: it is {state}."""

    fix = "Cancel it first, or wait for its end."


class QueueBusyError(ConflictError):
    """{active} jobs of the queue {what} still run after {seconds} s; nothing new of it begins."""

    fix = "Wait longer, cancel them, or let the queue go on with `skep jobs resume`."


class QueueUnknownError(UsageError):
    """There is no queue {queue}; there are {known}."""

    fix = "Name one of these."


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
