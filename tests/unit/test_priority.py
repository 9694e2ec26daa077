from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from skep.priority import step_back


@pytest.mark.parametrize("leads_session", [True, False])
def test_a_process_steps_back_and_its_session_only_when_it_is_its_own(leads_session: bool) -> None:
    with subprocess.Popen(["sleep", "30"], start_new_session=leads_session) as process:
        assert step_back(process.pid, 7)
        niceness = os.getpriority(os.PRIO_PROCESS, process.pid)
        group = Path(f"/proc/{process.pid}/autogroup")
        said = group.read_text() if group.exists() else ""
        process.kill()
    assert niceness == 7
    # Empty where the kernel has no autogroups.
    assert not said or said.endswith("nice 7\n") == leads_session


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert step_back(process.pid, 7)
