"""Starts a supervisor and watches it until the server answers."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

from skep.store.embedded import cluster
from skep.store.embedded.binaries import ENVIRONMENT, Account, choose_account, locate, reachable_by
from skep.store.embedded.layout import Layout
from skep.store.embedded.processes import RUNNER
from skep.store.embedded.supervisor import Orders
from skep.store.queries import Queries

_LAUNCH_SECONDS = 30.0
_STILL_ENDING = ("pre-existing shared memory block", "lock file")
_STOPPED_BY_OTHERS = ("received fast shutdown request", "received smart shutdown request")
"""Somebody ran `skep down` while we started: no failure, and we want it up all the same."""


class Launch:
    """A supervisor on its way. ``close`` lets it go on by itself."""

    def __init__(self, layout: Layout, ended: int, log_offset: int) -> None:
        self._layout = layout
        self._ended = ended
        self._log_offset = log_offset

    def wait_for_end(self, seconds: float) -> bool:
        """Wait at most so long; True as soon as the supervisor, and its server with it, has ended."""
        # The other end of the pipe is the supervisor's alone: the kernel closes it however the process ends.
        return bool(select.select([self._ended], [], [], seconds)[0])

    def said(self) -> str:
        """What it and the server wrote to the log."""
        return self._layout.log_since(self._log_offset)

    def may_be_tried_again(self) -> bool:
        """Whether it ended for a reason that passes: remains of a killed server, or a stop that came in between."""
        said = self.said()
        return any(sign in said for sign in (*_STILL_ENDING, *_STOPPED_BY_OTHERS))

    def close(self) -> None:
        """Stop watching."""
        os.close(self._ended)


def prepare(layout: Layout, run_as: str | None) -> tuple[Path, Account | None]:
    """Find the programs and the account; make the cluster if there is none. Needs the start lock.

    Returns the folder of the programs. Raises what can be wrong with any of them.
    """
    account = choose_account(layout.data, run_as)
    root = reachable_by(locate(), account)
    if account is not None and layout.folder.stat().st_uid == 0:
        # The account may pass through, but not change what root reads and writes here.
        os.chown(layout.folder, 0, account.gid)
        layout.folder.chmod(0o710)
    if not layout.socket_folder.exists():
        layout.socket_folder.mkdir(mode=0o700)
        cluster.give_to(account, layout.socket_folder)
    cluster.remove_leftovers(layout)
    if layout.data.exists():
        cluster.check_version(layout)
        return root, account
    folder = os.open(layout.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        cluster.create(layout, root, account, folder)
    finally:
        os.close(folder)
    return root, account


def launch(
    layout: Layout, supervisor_lock: int, idle_stop_seconds: float, prepared: tuple[Path, Account | None] | None
) -> Launch:
    """Start a supervisor that starts the server with what was prepared; None: that adopts the server that runs.

    ``supervisor_lock`` is held; it passes over to the supervisor without a moment in which nobody holds it.
    """
    account = prepared[1] if prepared else choose_account(layout.data, None)
    folder = os.open(layout.folder, os.O_RDONLY | os.O_DIRECTORY)
    log = layout.open_log()
    ended, alive = os.pipe()
    try:
        command: list[str] = []
        if prepared:
            data = cluster.path_for(account, folder, "data")
            postgres = prepared[0] / "bin" / "postgres"
            command = cluster.server_command(postgres, data, layout.marker, cluster.stored_bytes(layout))
        orders = Orders(
            command=command,
            environment=ENVIRONMENT,
            folder=folder,
            handles=[supervisor_lock, alive],
            account=(account.uid, account.gid) if account else None,
            idle_stop_seconds=idle_stop_seconds,
            login={
                "user": "skep",
                "password": layout.read_secret(layout.password),
                "statement": Queries(__package__)["fetch_sessions"].decode(),
            },
        )
        offset = os.fstat(log).st_size
        result = subprocess.run(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name(RUNNER)), layout.marker],
            input=orders.to_json().encode() + b"\n",
            stdout=log,
            stderr=log,
            cwd="/",
            env=ENVIRONMENT,
            pass_fds=(folder, supervisor_lock, alive),
            start_new_session=True,
            timeout=_LAUNCH_SECONDS,
            check=False,
        )
    except BaseException:
        os.close(ended)
        raise
    finally:
        for handle in (folder, log, alive):
            os.close(handle)
    started = Launch(layout, ended, offset)
    if result.returncode != 0:
        started.close()
        raise cluster.start_failure(layout, started.said())
    return started
