"""Parse workers forked from a process that has loaded their code: the same work, without 0.12 s of imports for each run.

Nearly every test of the index has files cut, and a worker never outlives a run. What is about the process itself (how it
is started, killed, limited) starts it as shipped, and so does everything at the levels above the default.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from skep.children import Child

SOURCE = Path(__file__).parent.parent / "src"


class Nursery:
    """The process with the code loaded. It ends when our end of its socket is closed."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._busy = Lock()

    def start(self, niceness: int, theirs: socket.socket) -> int:
        """A worker that talks over a socket; its process number."""
        with self._busy:
            socket.send_fds(self._socket, [b"start %d" % niceness], [theirs.fileno()])
            return int(self._socket.recv(64))

    def ask(self, pid: int) -> int | None:
        """How a worker ended, which is asked until it has; None while it runs."""
        with self._busy:
            self._socket.send(b"ask %d" % pid)
            answer = self._socket.recv(64)
        return None if answer == b"runs" else int(answer)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


class Forked:
    """What `subprocess.Popen` is for a process of ours, for one of the nursery's."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask(self.pid)
        return self.returncode

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.001)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


@contextmanager
def warm_parsers(nursery: Nursery) -> Iterator[None]:
    """Have the nursery start all workers for a while."""
    from unittest.mock import patch

    from skep import children
    from skep.knowledge import parsing

    class ForkedChild(children.Child):
        def __init__(self, niceness: int) -> None:
            ours, theirs = socket.socketpair()
            with theirs:
                process: Any = Forked(nursery, nursery.start(niceness, theirs))
            self.command = ("fork", "of", "the", "nursery")
            self._process = process
            self._socket = ours
            self._streams = None

    def start(niceness: int = children.PARSER_NICENESS, runner: Path = children.PARSER) -> Child:
        return ForkedChild(niceness) if runner == children.PARSER else children.start_parser(niceness, runner)

    with patch.object(parsing, "start_parser", start):
        yield


def _serve(control: socket.socket) -> None:
    """Fork a worker for each order, until the other side closes."""
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not order:
            return
        word, number = order.split()
        if word == b"start":
            pid = os.fork()
            if pid == 0:
                control.close()
                _become(int(number), descriptors[0])
            os.close(descriptors[0])
            control.send(b"%d" % pid)
        else:
            ended, status = os.waitpid(int(number), os.WNOHANG)
            control.send(b"%d" % os.waitstatus_to_exitcode(status) if ended else b"runs")


def _become(niceness: int, descriptor: int) -> NoReturn:
    """Be the worker, to its end."""
    import traceback

    from skep.knowledge import parse_worker

    code = 1
    with suppress(OSError):
        os.setpgid(0, 0)
    os.dup2(descriptor, 0)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    try:
        parse_worker.main(niceness)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def _load() -> None:
    """What a worker imports, as `run_parse_worker.py` has it."""
    import gc
    import runpy

    gc.disable()  # what is loaded stays
    runner = SOURCE / "skep" / "knowledge" / "run_parse_worker.py"
    runpy.run_path(str(runner))["_enter_packages"]()
    import skep.knowledge.parse_worker  # noqa: F401 -- loaded for the children

    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
