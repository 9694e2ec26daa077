"""Reading one file so that nothing outside the root is ever read, nothing blocks, and the stat fits the bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from skep.knowledge.walking.filetypes import name_judge
from skep.knowledge.walking.models import FileStat, ReadFile, Skipped, SkipReason, WalkEntry, WalkOptions
from skep.knowledge.walking.paths import FILE_FLAGS, encode_path, open_folder, open_root
from skep.knowledge.walking.texts import Decoded, content_reason, decode

_ATTEMPTS = 2
_READ_BYTES = 1_048_576
_LARGEST = 2**63 - 1
"""Of what a database's bigint holds. Files may claim to be from after 2262, and some file systems use all 64 bits of an
inode number."""


def file_stat(status: os.stat_result) -> FileStat:
    """The part of a stat that hints at changes; each number fits into 64 bits with a sign."""
    return FileStat(
        status.st_size, _bounded(status.st_mtime_ns), _bounded(status.st_ctime_ns), status.st_ino & _LARGEST
    )


def _bounded(moment_ns: int) -> int:
    return max(-_LARGEST, min(moment_ns, _LARGEST))


def read_file(root: Path | bytes | int, entry: WalkEntry | bytes, options: WalkOptions) -> ReadFile | Skipped:
    """The content of a file below the root, or why it is not to be had.

    ``root`` is a path or an open descriptor (which stays open); ``entry`` comes from a walk, or is a raw relative
    path. No component of the path is followed if it is a symbolic link, at no moment; a fifo or device in
    the file's place is not read; at most ``max_file_bytes`` + 1 bytes are read however the file grows. A file that is
    written to meanwhile is read once more and then reported as `SkipReason.CHANGING`.

    Opens and closes all it needs, so it may be called in any process. Raises only the errors of the root.
    """
    raw = entry.raw if isinstance(entry, WalkEntry) else entry
    path = entry.path if isinstance(entry, WalkEntry) else encode_path(raw)
    names = raw.split(b"/")
    if not raw or not {b"", b".", b".."}.isdisjoint(names) or b"\0" in raw:
        return Skipped(path, SkipReason.UNREADABLE, "not a path below the root.")
    reason = name_judge(options).judge(names[-1], names[-2] if len(names) > 1 else b"")
    if reason is not None:
        return Skipped(path, reason)
    with open_root(root) as top:
        try:
            with open_folder(top, names[:-1]) as folder:
                content = _read_in(folder, names[-1], path, options.max_file_bytes)
        except OSError as error:
            return Skipped(path, reason_of(error), _sentence(error))
    return content if isinstance(content, Skipped) else _understood(content, names[-1], path, options)


def reason_of(error: OSError) -> SkipReason:
    """What a failed system call means for a file or folder that a listing had just shown."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SkipReason.GONE
    return SkipReason.SYMLINK if error.errno == errno.ELOOP else SkipReason.UNREADABLE


def _sentence(error: OSError) -> str:
    return f"{error.strerror}."


def too_large(path: str, size: int, limit: int) -> Skipped:
    """The report of a file over the limit."""
    return Skipped(path, SkipReason.TOO_LARGE, f"{size:,} bytes are over the limit of {limit:,}.")


def _read_in(folder: int, name: bytes, path: str, limit: int) -> tuple[bytes, FileStat] | Skipped:
    # Looked at before it is opened, because opening alone can do something to a device.
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    refusal = _refusal(path, status, limit)
    if refusal is not None:
        return refusal
    descriptor = os.open(name, FILE_FLAGS, dir_fd=folder)
    try:
        return _read_unchanged(descriptor, path, limit)
    finally:
        os.close(descriptor)


def _refusal(path: str, status: os.stat_result, limit: int) -> Skipped | None:
    if stat.S_ISLNK(status.st_mode):
        return Skipped(path, SkipReason.SYMLINK)
    if not stat.S_ISREG(status.st_mode):
        return Skipped(path, SkipReason.SPECIAL)
    return too_large(path, status.st_size, limit) if status.st_size > limit else None


def _read_unchanged(descriptor: int, path: str, limit: int) -> tuple[bytes, FileStat] | Skipped:
    for _ in range(_ATTEMPTS):
        before = os.fstat(descriptor)
        refusal = _refusal(path, before, limit)
        if refusal is not None:
            return refusal
        os.lseek(descriptor, 0, os.SEEK_SET)
        data = read_at_most(descriptor, limit + 1)
        if len(data) > limit:
            return too_large(path, len(data), limit)
        after = os.fstat(descriptor)
        if file_stat(before) == file_stat(after) and len(data) == after.st_size:
            return data, file_stat(after)
    return Skipped(path, SkipReason.CHANGING, f"it was written to during {_ATTEMPTS} attempts to read it.")


def read_at_most(descriptor: int, limit: int) -> bytes:
    """The next bytes of a file up to its end, never more than ``limit``."""
    pieces: list[bytes] = []
    left = limit
    while left > 0 and (piece := os.read(descriptor, min(left, _READ_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _understood(content: tuple[bytes, FileStat], name: bytes, path: str, options: WalkOptions) -> ReadFile | Skipped:
    data, status = content
    decoded = decode(data)
    if not isinstance(decoded, Decoded):
        return Skipped(path, decoded)
    reason = content_reason(name, decoded.text, options)
    if reason is not None:
        return Skipped(path, reason)
    return ReadFile(data, hashlib.sha256(data).digest(), status, decoded.text, decoded.note)
