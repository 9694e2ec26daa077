"""Reads documents: the room's one service."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Self

from skep.documents.interfaces import DocumentFileError, FileEmptyError, FileTooLargeError, ReaderStartError
from skep.documents.models import Document, Limits
from skep.documents.reader import Reader, open_memory
from skep.documents.sandbox import find_bubblewrap, plain_command, sandboxed_command

_KEPT_READERS = 2
"""A process costs 0.3 s to start and 40 MB to keep."""

_ASKED_AGAIN_SECONDS = 60.0
"""A sandbox that did not work is tried again after so long: it may have been installed."""

_NOT_INSTALLED = "bubblewrap is not installed"


@dataclass(frozen=True, slots=True)
class SandboxState:
    """Whether strangers' files can be read in a sandbox."""

    works: bool
    reason: str = ""
    """Why it does not; empty when it does."""


@dataclass(slots=True)
class Documents:
    """Turns files into documents, in processes of their own. Use it as a context manager; its methods may be called from any thread."""

    limits: Limits = field(default_factory=Limits)
    allow_unsandboxed: bool = False
    """Whether formats that must be taken apart are read even where there is no sandbox."""
    bubblewrap: str | None = field(default_factory=find_bubblewrap)
    _idle: list[Reader] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _missing: tuple[str, float] = ("", 0.0)
    """Why there was no sandbox when one was tried last, and when that was."""
    _is_closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    async def read(self, data: bytes, name: str) -> Document:
        """Like `read_now`, for a loop."""
        return await asyncio.to_thread(self.read_now, data, name)

    def read_now(self, data: bytes, name: str) -> Document:
        """What a file says. Its name is a hint.

        Raises DocumentError when it cannot be read, SandboxMissingError when it must not, ReaderStartError.
        """
        self._require_size(len(data))
        with open_memory(data) as file:
            return self._read(file, name)

    def read_path(self, path: Path) -> Document:
        """The same for a file on the disk. Raises DocumentFileError, too, when it cannot be opened."""
        try:
            # Not waiting for whoever writes, should it be a pipe.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                state = os.fstat(file.fileno())
                if not stat.S_ISREG(state.st_mode):
                    raise DocumentFileError(path=path, reason="it is no regular file")
                self._require_size(state.st_size)
                return self._read(file, path.name)
        except OSError as error:
            raise DocumentFileError(path=path, reason=error.strerror or str(error)) from error

    def sandbox_state(self) -> SandboxState:
        """Whether the sandbox works: one is started."""
        try:
            self._give_back(self._sandboxed())
        except ReaderStartError as error:
            return SandboxState(works=False, reason=str(error.fields["reason"]))
        return SandboxState(works=True)

    def _require_size(self, size: int) -> None:
        if size == 0:
            raise FileEmptyError
        if size > self.limits.file_bytes:
            raise FileTooLargeError(size_bytes=size, limit_bytes=self.limits.file_bytes)

    def _read(self, file: BinaryIO, name: str) -> Document:
        reader = self._take()
        try:
            return reader.read(file, name, "" if self.allow_unsandboxed else reader.unsandboxed)
        finally:
            self._give_back(reader)

    def _take(self) -> Reader:
        """One that is ready, or a new one: in the sandbox if that works now or was not tried for a while."""
        reason, asked_at = self._missing
        if time.monotonic() - asked_at > _ASKED_AGAIN_SECONDS:
            reason = ""
        with self._lock:
            while self._idle:
                reader = self._idle.pop()
                if reader.is_free and reader.unsandboxed == reason:
                    return reader
                reader.close()
        if not reason:
            try:
                return self._sandboxed()
            except ReaderStartError as error:
                reason = str(error.fields["reason"])
                self._missing = reason, time.monotonic()
        return Reader(plain_command(), self.limits, reason)

    def _sandboxed(self) -> Reader:
        if self.bubblewrap is None:
            raise ReaderStartError(reason=_NOT_INSTALLED)
        return Reader(sandboxed_command(self.bubblewrap), self.limits)

    def _give_back(self, reader: Reader) -> None:
        with self._lock:
            if reader.is_free and not self._is_closed and len(self._idle) < _KEPT_READERS:
                self._idle.append(reader)
                return
        reader.close()
