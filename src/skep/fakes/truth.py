"""The truth log: one JSON line for each request, written before it is answered.

With fsync, lines of requests that arrive while the disk is busy go to it together in the next turn, and each answer waits for
its own line: the guarantee costs the time of one fsync, not of one for each request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from skep.fakes.interfaces import TruthLogError


class TruthLog:
    """Appends to a file (None: nowhere). A context manager; entering raises TruthLogError."""

    def __init__(self, path: Path | None, *, fsync: bool) -> None:
        self.path = path
        self.is_synced = fsync and path is not None
        self._file = -1
        self._waiting: list[bytes] = []
        self._turn: asyncio.Future[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(1, "skep-truth-log")

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise TruthLogError(path=self.path, reason=error.strerror or str(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._disk.shutdown()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append a line; it survives the death of this process, not of the machine. Raises TruthLogError."""
        if self._file >= 0:
            self._append(orjson.dumps(entry) + b"\n")

    async def write_durably(self, entry: Mapping[str, Any]) -> None:
        """Append a line and return when the disk has it. Raises TruthLogError."""
        if self._file < 0:
            return
        self._waiting.append(orjson.dumps(entry) + b"\n")
        if self._turn is None:
            self._turn = asyncio.get_running_loop().create_future()
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="skep-truth-log")
        # Shielded: whoever hangs up takes the turn from nobody else.
        await asyncio.shield(self._turn)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._turn is not None:
            turn, lines = self._turn, b"".join(self._waiting)
            self._turn, self._waiting = None, []
            try:
                await loop.run_in_executor(self._disk, self._append_and_sync, lines)
            except TruthLogError as error:
                turn.set_exception(error)
            else:
                turn.set_result(None)

    def _append_and_sync(self, lines: bytes) -> None:
        self._append(lines)
        try:
            os.fsync(self._file)
        except OSError as error:
            raise TruthLogError(path=self.path, reason=error.strerror or str(error)) from error

    def _append(self, lines: bytes) -> None:
        try:
            while lines:
                lines = lines[os.write(self._file, lines) :]
        except OSError as error:
            raise TruthLogError(path=self.path, reason=error.strerror or str(error)) from error
