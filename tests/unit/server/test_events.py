from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from skep.jobs import Job, JobProgress
from skep.server.interfaces import EventIdInvalidError
from skep.server.job_routes import event_bytes, last_event_id

JOB = Job(
    job_id="job_1",
    kind="index",
    subject="collection:a",
    queue="folders",
    priority=0,
    state="running",
    progress=JobProgress("index", 1, 2),
    result={"text": "a\nb"},
    error=None,
    attempts=1,
    cancel_requested=False,
    revision=7,
    created_at=datetime(2026, 11, 20, tzinfo=UTC),
    started_at=None,
    finished_at=None,
)


@pytest.mark.parametrize(("text", "revision"), [(None, 0), ("", 0), ("0", 0), ("7", 7), ("007", 7)])
def test_a_revision_that_was_seen(text: str | None, revision: int) -> None:
    assert last_event_id(text) == revision


@pytest.mark.parametrize("text", ["x", "-1", "+1", "1.5", " 1", "9" * 30, "\u0967", "\u00b2", "1\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(EventIdInvalidError):
        last_event_id(text)


@pytest.mark.parametrize(("job", "name"), [(JOB, "job"), (replace(JOB, state="failed"), "end")])
def test_an_event_is_one_block(job: Job, name: str) -> None:
    head, number, data, *rest = event_bytes(job).decode().split("\n")
    assert (head, number, rest) == (f"event: {name}", "id: 7", ["", ""])
    assert json.loads(data.removeprefix("data: "))["result"] == {"text": "a\nb"}
