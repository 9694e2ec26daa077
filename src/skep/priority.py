"""How a process steps back behind others."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

AGAIN_SECONDS = 0.11
"""Linux takes one wish of a user about sessions in a tenth of a second (kernel/sched/autogroup.c)."""


def step_back_oneself(niceness: int) -> None:
    """`step_back` for the calling process at its start; may take a tenth of a second."""
    if not step_back(os.getpid(), niceness):
        time.sleep(AGAIN_SECONDS)
        step_back(os.getpid(), niceness)


def step_back(pid: int, niceness: int) -> bool:
    """Set a process's niceness, 0 to 19; where that is not ours to do, nothing happens.

    With autogroups (man 7 sched), which most Linux desktops and many servers have on, the processor is shared between
    sessions first, and niceness counts only inside one. A process that leads a session has the session step back too.

    False when that is to be asked once more after `AGAIN_SECONDS`.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
    try:
        if os.getsid(pid) == pid:
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness), encoding="ascii")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
