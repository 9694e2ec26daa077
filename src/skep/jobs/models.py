"""What a job is, to those who ask for it, watch it and do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from skep.store import Connection

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

FINAL_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


INGEST = "ingest"
"""The queue of reading and indexing documents."""

ANALYSIS = "analysis"
"""The queue of what may take long and is not waited for."""

DEFAULT = "default"
"""The queue of everything else."""

FLEET_QUEUES = (INGEST, ANALYSIS, DEFAULT)
"""Queues whose jobs any machine may do."""

FOLDERS = "folders"
"""What a machine's own queue is called among people: work on its folders."""

MAX_TRIES = 3
"""So often a job may end without an answer unless its order says otherwise, lest it kill worker after worker."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to be done. Jobs with the same subject run one after the other: in the fleet, or on one machine."""

    kind: str
    """Names the handler: ``index``."""
    subject: str
    """What it works on: ``collection:app``. Empty: nothing that another job must not touch meanwhile."""
    arguments: Mapping[str, Any]
    requested_by: Mapping[str, Any]
    """The principal, for the handler."""
    queue: str = FOLDERS
    """One of `FLEET_QUEUES`, or that of this machine."""
    priority: int = 0
    """From -100 to 100; higher ones begin first, within their queue and their subject."""
    tries: int = MAX_TRIES
    """So often it may end without an answer, from 1 to 100: its worker died, or something it needs did not answer."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is: ``done`` of ``total`` in ``phase``. A total of 0 is not known yet; an empty phase has not begun."""

    phase: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, in the words of the error."""

    code: str
    detail: str
    fix: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was at one moment."""

    job_id: str
    kind: str
    subject: str
    queue: str
    priority: int
    state: JobState
    progress: JobProgress
    result: Any
    """What it answered; None until it succeeded, and when it answers nothing."""
    error: JobError | None
    """None unless it failed."""
    attempts: int
    """How often it was started."""
    cancel_requested: bool
    revision: int
    """Grows with every change."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self.state in FINAL_STATES


class JobReport(Protocol):
    """How a handler says how far it is. Called often: it costs nothing, and it is where a cancelled job ends."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total`` in ``phase``; total 0 means it is not known yet."""


class JobTransaction(Protocol):
    """How a handler writes to the database what must not be written by an attempt that was taken for dead."""

    def __call__(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction in which the job is this attempt's until it ends. When it is not, the attempt ends here."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a handler gets."""

    job_id: str
    project_id: int
    arguments: Mapping[str, Any]
    requested_by: Mapping[str, Any]
    report: JobReport
    transaction: JobTransaction

    def idempotency_key(self, step: str) -> str:
        """The same in every attempt: for what happens elsewhere and must happen once, if who does it knows such keys."""
        return f"{self.job_id}/{step}"


@dataclass(frozen=True, slots=True)
class JobEnding:
    """What a handler returns whose last effect must happen exactly once."""

    result: object
    write: Callable[[Connection], Awaitable[None]]
    """Writes it, in the transaction that ends the job: both or neither. Begun anew when the database was away."""


JobHandler = Callable[[JobContext], Awaitable[object]]
"""Does a kind of job; what it returns (plain values, dataclasses, a JobEnding) becomes the result. May run again."""


@dataclass(frozen=True, slots=True)
class StalledJob:
    """A job whose worker is gone."""

    job_id: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as it was at one moment."""

    queue: str
    paused_at: datetime | None
    depth: int
    """How many jobs wait."""
    active: int
    """How many run."""
    failed: int
    """How many failed and are still to be looked at."""
    oldest_seconds: float
    """How long the oldest has waited; 0 when nothing waits."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as it was at one moment."""

    node: str
    process_id: int
    queues: tuple[str, ...]
    concurrency: int
    started_at: datetime
    seen_at: datetime
    online: bool
    """Whether it gave a sign within the last seconds."""
    active: int
    """How many jobs it has."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "queues", tuple(self.queues))
