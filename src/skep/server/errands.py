"""What the command line has done by a short child process, which needs the whole program where we need little of it.

What is broken there, even the program itself, cannot break the doctor.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from skep.server.interfaces import DatabaseStopError
from skep.server.orders import Orders
from skep.server.running import find_running
from skep.settings import CommandLine

_SECONDS = 60.0


def run_examination(said: CommandLine) -> list[dict[str, str]]:
    """Every check as ``{name, state, detail, fix}``; one failed check when the examination itself did not work."""
    try:
        child = run_child(Orders.for_command("examine", said))
    except (OSError, subprocess.TimeoutExpired) as error:
        return [_broken(str(error))]
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        lines = child.stderr.strip().splitlines()
        return [_broken(lines[-1] if lines else f"the examination said nothing (exit code {child.returncode})")]
    if isinstance(answer, dict):
        said_error = answer["error"]
        return [{"name": "settings", "state": "fail", "detail": said_error["message"], "fix": said_error["fix"]}]
    checks: list[dict[str, str]] = answer
    return checks


def stop_database(said: CommandLine) -> bool:
    """Stop the embedded database of the data folder; False when none was running. Raises DatabaseStopError."""
    child = run_child(Orders.for_command("stop", said))
    answer = json.loads(child.stdout or "{}")
    if "stopped" not in answer:
        error = answer.get("error", {"message": child.stderr.strip(), "fix": ""})
        raise DatabaseStopError(what="the embedded database", reason=error["message"], advice=error["fix"])
    return bool(answer["stopped"])


def begin_embedding(said: CommandLine, data_folder: Path) -> None:
    """Have what was indexed embedded by a process that goes on when this one ends; nothing when one is at it."""
    if any(running.role == "embedder" for running in find_running(data_folder)):
        return
    subprocess.Popen(
        Orders.for_command("embedder", said, until_done=True).command(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def run_child(orders: Orders) -> subprocess.CompletedProcess[str]:
    """Run a child process to its end. Raises OSError, subprocess.TimeoutExpired."""
    return subprocess.run(orders.command(), capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)


def _broken(reason: str) -> dict[str, str]:
    return {"name": "program", "state": "fail", "detail": reason, "fix": "Install Skep again, in a fresh environment."}
