"""A job does what the one who asked for it may do when it begins."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from skep.access import KeyInvalidError, RoleTooLowError
from skep.app import job_handlers
from skep.jobs import JobContext
from tests.workspace import Workspace, quiet


async def begin(workspace: Workspace, kind: str) -> Any:
    """What a worker does when it comes to the job."""
    who = workspace.who
    arguments = {"collection": "project", "path": None}
    context = JobContext("job", who.project_id, arguments, asdict(who), quiet, workspace.skep.database.transaction)
    return await job_handlers(workspace.skep)[kind](context)


@pytest.mark.parametrize("kind", ["index", "verify"])
async def test_a_job_whose_key_was_revoked_while_it_waited_is_refused(workspace: Workspace, kind: str) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    assert await begin(workspace, kind)
    await workspace.execute("update api_key set revoked_at = now()")
    with pytest.raises(KeyInvalidError, match="revoked or expired since"):
        await begin(workspace, kind)


async def test_a_job_whose_key_may_do_less_by_now_is_refused(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    await workspace.execute("update api_key set role = 'reader'")
    assert (await begin(workspace, "verify"))["equal"]
    with pytest.raises(RoleTooLowError):
        await begin(workspace, "index")
