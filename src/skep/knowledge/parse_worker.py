"""The child process that reads and cuts files, started by this file's path: `python -P parse_worker.py`.

`python -m` would import the packages above, and with them the database and all else that cutting does not need: 0.3 s
and 40 MB more for each worker. So they are entered by name only; their `__init__` files do not run.

Frames on stdin and stdout: 4 bytes of length, then `marshal` data. First comes the job's root and options, then one
frame per batch of files; one frame goes back per file, in order. `marshal` and not `pickle`: it can only ever produce
plain values, so a worker that fell to a hostile file cannot make its parent run anything.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import resource
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from skep.knowledge import preparing, walking

_NICENESS = 10
"""Indexing gives way to whoever works at the machine."""

_MEMORY_LIMIT_BYTES = 2 << 30
"""Address space of one worker: far above what 1 MiB files need, far below what hurts the machine."""


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Send one value."""
    data = marshal.dumps(value)
    stream.write(len(data).to_bytes(4, "big"))
    stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:
    """Receive one value. Raises EOFError when the other side has closed."""
    header = stream.read(4)
    if len(header) < 4:
        raise EOFError
    return marshal.loads(stream.read(int.from_bytes(header, "big")))


def main() -> None:
    """Serve until the parent closes our stdin."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    # Ctrl-C reaches the whole process group; our parent decides what becomes of us, and says so once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever a library prints must not fall between the frames.
    sys.stdout = sys.stderr
    with contextlib.suppress(EOFError, BrokenPipeError):
        root, plain_options = read_frame(requests)
        cutter = _Cutter(root, plain_options)
        while True:
            for path, raw, stat, stored in read_frame(requests):
                write_frame(answers, cutter.cut(path, raw, stat, stored))


class _Cutter:
    """The rooms that cut files, and what they are told once for all."""

    def __init__(self, root: bytes, plain_options: dict[str, Any]) -> None:
        self._preparing: Preparing = importlib.import_module("skep.knowledge.preparing")
