"""Our end of a process that reads files."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from skep.documents.interfaces import (
    FileTooLargeError,
    FileTooSlowError,
    FileUnfoldsError,
    ReaderCrashedError,
    ReaderStartError,
    error_named,
)
from skep.documents.models import Document, Limits, from_plain
from skep.errors import SkepError

_START_SECONDS = 30.0
_GRACE_SECONDS = 5.0
"""A reader ends itself when its time is up; one that was taken over does not, and we wait so much longer."""

_MAX_ANSWER_BYTES = 128 << 20
"""Above what a document of the largest size allowed takes as JSON."""

_PIECE_BYTES = 1 << 20
_MAX_NAME_CHARACTERS = 255
_OUT_OF_TIME = (-signal.SIGALRM, -signal.SIGXCPU)


class Reader:
    """A process that reads one file after the other. For one thread at a time. It ends with the thread that started it."""

    def __init__(self, command: Sequence[str], limits: Limits, unsandboxed: str = "") -> None:
        """Start it. ``unsandboxed``: why it is in no sandbox. Raises ReaderStartError with its last words."""
        self._limits = limits
        self.unsandboxed = unsandboxed
        self._is_busy = False
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the process
        ours, theirs = socket.socketpair()
        self._control = ours
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=self._words,
                    env=_environment(),
                    process_group=0,
                )
        except OSError as error:
            ours.close()
            self._words.close()
            raise ReaderStartError(reason=error.strerror or str(error)) from error
        if self._told(time.monotonic() + _START_SECONDS) != b"ready":
            words = self._last_words()
            self.close()
            raise ReaderStartError(reason=words or f"it was not ready after {_START_SECONDS:g} s")

    @property
    def is_free(self) -> bool:
        """Whether it can take another file."""
        return not self._is_busy and self._process.poll() is None

    def read(self, file: BinaryIO, name: str, plain_only: str = "") -> Document:
        """Read a file from its start; its size was checked. ``plain_only``: see `understand`.

        Raises DocumentError, SandboxMissingError and ReaderStartError.
        """
        limits = self._limits
        size = os.fstat(file.fileno()).st_size
        if size > limits.file_bytes:
            raise FileTooLargeError(size_bytes=size, limit_bytes=limits.file_bytes)
        deadline = time.monotonic() + limits.seconds + _GRACE_SECONDS
        order = {
            "name": name.encode("utf-8", "replace").decode()[-_MAX_NAME_CHARACTERS:],
            "plain_only": plain_only[:1000],
            "memory_bytes": limits.memory_bytes,
            "seconds": limits.seconds,
        }
        self._is_busy = True
        ours, theirs = os.pipe()
        try:
            try:
                socket.send_fds(self._control, [orjson.dumps(order)], [file.fileno(), theirs])
            except OSError as error:
                raise ReaderStartError(reason=self._last_words() or "it has ended") from error
            finally:
                os.close(theirs)
            answer = self._receive(ours, deadline)
        except SkepError:
            self.close()
            raise
        finally:
            os.close(ours)
        code = self._ending(deadline)
        self._is_busy = False
        return self._understood(answer, code)

    def close(self) -> None:
        """End it, with everything in its sandbox."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._control.close()
        self._words.close()

    def _receive(self, pipe: int, deadline: float) -> bytes:
        answer = bytearray()
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            piece = os.read(pipe, _PIECE_BYTES)
            if not piece:
                return bytes(answer)
            answer += piece
            if len(answer) > _MAX_ANSWER_BYTES:
                raise FileUnfoldsError(reason=f"what was read of it has more than {_MAX_ANSWER_BYTES} bytes")
        raise FileTooSlowError(limit_seconds=self._limits.seconds)

    def _ending(self, deadline: float) -> int:
        """The exit code of the child that read the file, negative for a signal. Raises FileTooSlowError and ReaderCrashedError."""
        told = self._told(deadline)
        if told is None:
            self.close()
            raise FileTooSlowError(limit_seconds=self._limits.seconds)
        try:
            return int(told)
        except ValueError as error:
            self.close()
            raise ReaderCrashedError(cause="its sandbox") from error

    def _understood(self, answer: bytes, code: int) -> Document:
        if code in _OUT_OF_TIME:
            raise FileTooSlowError(limit_seconds=self._limits.seconds)
        if code:
            raise ReaderCrashedError(cause=_ending_words(code))
        try:
            found: dict[str, Any] = orjson.loads(answer)
            if "document" in found:
                return from_plain(found["document"])
            told = error_named(str(found["error"]), found["fields"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReaderCrashedError(cause="an answer that is none") from error
        raise told

    def _told(self, deadline: float) -> bytes | None:
        """What the process says next; empty when it has ended, None when it says nothing in time."""
        try:
            self._control.settimeout(max(0.01, deadline - time.monotonic()))
            return self._control.recv(64)
        except TimeoutError:
            return None
        except OSError:
            return b""

    def _last_words(self) -> str:
        """The last line it wrote as it ended; empty when it still runs or said nothing."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._words.seek(0)
        lines = self._words.read(64 * 1024).decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip().rstrip(".") if lines else ""


def open_memory(data: bytes) -> BinaryIO:
    """A file in memory, or a temporary one where the system has none in memory."""
    file: BinaryIO
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("document"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # type: ignore[assignment]  # noqa: SIM115 -- the caller closes it
    file.write(data)
    file.seek(0)
    return file


def _environment() -> dict[str, str]:
    """Nothing of ours: neither keys nor paths."""
    return {"LC_ALL": "C.UTF-8"}


def _ending_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
