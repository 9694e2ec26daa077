"""Runs `skep` in children of a process that has loaded the code already: the same command, without 0.3 s of imports.

A child is forked before anything was opened or read, takes on the arguments, the folder, the environment and the files that
the command would have been given, and then calls what ``python -m skep`` calls. What has to be a process from the very
start (its imports, how it is measured, killed or wrapped) is started as one by ``tests.command``.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import NoReturn

_AT_START = ("PYTHON", "LC_", "LANG", "COVERAGE_")
"""Variables that begin so count when an interpreter starts, and cannot be taken on any more."""


class Prefork:
    """The process with the code loaded; started by its first command, and ended when its standard input closes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._busy = Lock()
        self._folder: TemporaryDirectory[str] | None = None
        self._special = _special(_clean(os.environ))

    def run(
        self, arguments: Sequence[str | bytes], cwd: Path, environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, bytes, bytes] | None:
        """Exit code, standard output and standard error; None when another thread is at it, or the environment is special.

        Raises subprocess.TimeoutExpired; the command is killed then.
        """
        if _special(environment) != self._special or not self._busy.acquire(blocking=False):
            return None
        try:
            return self._run(arguments, cwd, environment, timeout_seconds)
        finally:
            self._busy.release()

    def close(self) -> None:
        """End the process; another is started if it is needed again."""
        process, folder = self._process, self._folder
        self._process = self._folder = None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.stdout.close()
            process.wait()
        if folder is not None:
            folder.cleanup()

    def _run(
        self, arguments: Sequence[str | bytes], cwd: Path, environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, bytes, bytes]:
        process, folder = self._started()
        order = {
            "arguments": [os.fsdecode(argument) for argument in arguments],
            "cwd": str(cwd),
            "environment": dict(environment),
            "out": str(folder / "out"),
            "err": str(folder / "err"),
        }
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        deadline = time.monotonic() + timeout_seconds
        os.set_blocking(process.stdout.fileno(), False)
        try:
            while not (line := process.stdout.readline()):
                if time.monotonic() > deadline:
                    os.kill(child, 9)
                    os.set_blocking(process.stdout.fileno(), True)
                    process.stdout.readline()  # how it ended: unread, it would be taken for the number of the next one
                    raise subprocess.TimeoutExpired(list(map(repr, arguments)), timeout_seconds)
                time.sleep(0.002)
        finally:
            os.set_blocking(process.stdout.fileno(), True)
        return int(line), (folder / "out").read_bytes(), (folder / "err").read_bytes()

    def _started(self) -> tuple[subprocess.Popen[bytes], Path]:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="skep-prefork-")
            atexit.register(self.close)
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_clean(os.environ)
            )
        return self._process, Path(self._folder.name)


def _special(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if not name.startswith(("SKEP_", "COVERAGE_"))}
    return kept | {"PYTHONPATH": str(Path(__file__).parent.parent / "src")}


def _serve() -> None:
    """Fork a child for each line of standard input; say its number, and then how it ended."""
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(answers)
            _become(order)
        os.write(answers, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(order: Mapping[str, object]) -> NoReturn:
    """Be the command, to its end."""
    from skep.cli import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for stream, name in ((1, "out"), (2, "err")):
        file = os.open(str(order[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(file, stream)
        os.close(file)
    environment, arguments = order["environment"], order["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(str(order["cwd"]))
    sys.argv = ["skep", *arguments]
    main()
    raise AssertionError("main does not return")


def _load() -> None:
    """Everything a command may import of ours."""
    import gc
    import importlib

    gc.disable()  # as `python -m skep` does

    from skep.cli.main import COMMANDS

    for module in {row.module for row in COMMANDS}:
        importlib.import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not be there in the children"


if __name__ == "__main__":
    _load()
    _serve()
