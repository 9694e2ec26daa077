"""What a job is, to those who ask for it, watch it and do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

FINAL_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to be done. Jobs with the same subject run one after the other (on one machine)."""

    kind: str
    """Names the handler: ``index``."""
    subject: str
    """What it works on: ``collection:app``."""
    arguments: Mapping[str, Any]
    requested_by: Mapping[str, Any]
    """The principal, for the handler."""


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


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a handler gets."""

    job_id: str
    project_id: int
    arguments: Mapping[str, Any]
    requested_by: Mapping[str, Any]
    report: JobReport


JobHandler = Callable[[JobContext], Awaitable[object]]
"""Does a kind of job; what it returns (plain values or dataclasses) becomes the result. May run again after a crash."""


@dataclass(frozen=True, slots=True)
class StalledJob:
    """A job whose worker is gone."""

    job_id: str
    kind: str
    subject: str
