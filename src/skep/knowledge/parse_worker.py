"""The child process that reads and cuts files; `run_parse_worker.py` starts it.

Frames on stdin and stdout: 4 bytes of length, then `marshal` data. One frame per batch of files, with their root and the
options; one frame goes back per file, in order. `marshal` and not `pickle`: it can only ever produce
plain values, so a worker that fell to a hostile file cannot make its parent run anything.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import resource
import signal
import sys
from typing import Any, BinaryIO

from skep.knowledge.preparing import PARSER_CRASHED, PreparedFile, StoredContent, UnreadableFile, prepare_file, to_plain
from skep.knowledge.walking import FileStat, WalkEntry, WalkOptions

_MEMORY_LIMIT_BYTES = 2 << 30
"""Address space of one worker: far above what 1 MiB files need, far below what hurts the machine."""

_FILE_SECONDS = 120
"""The kernel ends us when one file takes so long: our parent, which waits half as long, may be gone by then."""


def write_frame(stream: BinaryIO, value: Any) -> None:  # noqa: ANN401 -- plain values
    """Send one value."""
    data = marshal.dumps(value)
    stream.write(len(data).to_bytes(4, "big"))
    stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:  # noqa: ANN401 -- plain values, whose shape the caller knows
    """Receive one value. Raises EOFError when the other side has closed."""
    header = stream.read(4)
    if len(header) < 4:
        raise EOFError
    return marshal.loads(stream.read(int.from_bytes(header, "big")))  # noqa: S302 -- written by our own parent


def main(niceness: int = 0) -> None:
    """Serve until the parent closes our stdin, stepped back by ``niceness``."""
    with contextlib.suppress(OSError):
        os.nice(niceness)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever a library prints must not fall between the frames.
    sys.stdout = sys.stderr
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            root, plain_options, batch = read_frame(requests)
            options = WalkOptions(**plain_options)
            for path, raw, stat, stored in batch:
                signal.alarm(_FILE_SECONDS)
                result = _cut(root, WalkEntry(path, raw, FileStat(*stat)), options, frozenset(stored))
                signal.alarm(0)
                write_frame(answers, to_plain(result))


def _cut(
    root: bytes, entry: WalkEntry, options: WalkOptions, stored: frozenset[StoredContent]
) -> PreparedFile | UnreadableFile:
    try:
        return prepare_file(root, entry, options, stored)
    except MemoryError:
        return UnreadableFile(
            entry.path, PARSER_CRASHED, f"it takes more than {_MEMORY_LIMIT_BYTES >> 30} GiB of memory"
        )
