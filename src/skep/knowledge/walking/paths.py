"""Document paths: file names as text that always fits, and folders opened so that no link is followed."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skep.knowledge.walking.interfaces import (
    DocumentPathError,
    PathOutsideRootError,
    RootIsFileError,
    RootMissingError,
    RootUnreadableError,
)

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""O_NONBLOCK: opening a fifo that took a file's place must not wait for a writer."""

_ESCAPE = re.compile(rb"\\(\\|x([0-9a-f]{2}))")


def encode_path(raw: bytes) -> str:
    r"""The text form of a file name or path: UTF-8, each byte that is not valid UTF-8 as ``\xNN``, ``\`` doubled.

    Reversible by `decode_path` for every name the system allows; newlines and other control characters are kept.
    """
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def decode_path(text: str) -> bytes:
    """The name that `encode_path` made this text of; raises `DocumentPathError` for any text it would not make."""
    try:
        raw = _ESCAPE.sub(_unescape, text.encode("utf-8"))
    except UnicodeEncodeError:
        raise DocumentPathError(path=ascii(text), reason="it is not valid Unicode text.") from None
    # One file has one path: another spelling of the same bytes would be another document.
    if encode_path(raw) != text:
        raise DocumentPathError(path=text, reason="it has a backslash that is neither \\\\ nor a needed \\xNN.")
    if b"\0" in raw:
        raise DocumentPathError(path=ascii(text), reason="it contains a NUL.")
    return raw


def _unescape(match: re.Match[bytes]) -> bytes:
    return b"\\" if match[2] is None else bytes((int(match[2], 16),))


def split_path(text: str) -> list[bytes]:
    """The names in a document path; an empty list for an empty text.

    Raises `DocumentPathError` when it is malformed and `PathOutsideRootError` when it is absolute or has ``..``.
    """
    if not text:
        return []
    raw = decode_path(text)
    if raw.startswith(b"/"):
        raise PathOutsideRootError(path=text, reason="it is absolute.")
    names = raw.split(b"/")
    if b".." in names:
        raise PathOutsideRootError(path=text, reason="it has a .. in it.")
    if b"" in names or b"." in names:
        raise DocumentPathError(path=text, reason="a name between two / is empty or a single dot.")
    return names


@contextmanager
def open_root(root: Path | bytes | int) -> Iterator[int]:
    """A descriptor of the root for the length of the ``with``; an integer is one already and stays open.

    The root is trusted and may be a link. Raises `RootMissingError`, `RootIsFileError` or `RootUnreadableError`.
    """
    if isinstance(root, int):
        yield root
        return
    shown = encode_path(os.fsencode(root))
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise RootMissingError(path=shown) from error
    except NotADirectoryError as error:
        raise RootIsFileError(path=shown) from error
    except OSError as error:
        raise RootUnreadableError(path=shown, reason=f"{error.strerror}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def enter(folder: int, name: bytes) -> int:
    """A descriptor of the subfolder ``name``, never through a symbolic link: that is an `OSError` with ELOOP."""
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=folder)
    except NotADirectoryError:
        # Linux says ENOTDIR for a link too when O_DIRECTORY and O_NOFOLLOW meet.
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


@contextmanager
def open_folder(root: int, names: list[bytes]) -> Iterator[int]:
    """A descriptor of the folder ``names`` below the root's descriptor, for the length of the ``with``.

    Each name is opened relative to the one before and never through a symbolic link, so that whoever swaps a folder
    for a link meanwhile gets an `OSError` and not a file from elsewhere.
    """
    current = os.dup(root)
    try:
        for name in names:
            deeper = enter(current, name)
            os.close(current)
            current = deeper
        yield current
    finally:
        os.close(current)
