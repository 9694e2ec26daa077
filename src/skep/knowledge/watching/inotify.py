"""Change events of Linux: inotify (man 7 inotify), read by the event loop, one watch for each folder that is indexed.

Watching folder by folder leaves out what is never indexed: a build in ``node_modules`` or a ``git status`` costs nothing,
not even a wake-up, and those folders do not use up the system's watches.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from functools import cache

from skep.knowledge.watching.interfaces import Hint, TellHints, WatchLimitError, WatchUnsupportedError

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _ISDIR = 0x01000000, 0x02000000, 0x40000000
"""Values of <sys/inotify.h>."""

_COMINGS_AND_GOINGS = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_CHANGES = _MODIFY | _ATTRIB | _CLOSE_WRITE | _COMINGS_AND_GOINGS
_MASK = _CHANGES | _DELETE_SELF | _MOVE_SELF | _ONLYDIR | _DONT_FOLLOW

_HEAD = struct.Struct("iIII")
"""struct inotify_event: watch, mask, cookie, length of the name."""

_READ_BYTES = 1 << 18


class InotifyEvents:
    """One inotify instance for the folders below ``root``. Made in the thread of the running loop, which reads it.

    Raises WatchLimitError, WatchUnsupportedError.
    """

    def __init__(self, root: bytes, tell: TellHints) -> None:
        self._root = root
        self._tell = tell
        self._folders: dict[int, bytes] = {}
        self._watches: dict[bytes, int] = {}
        self._loop = asyncio.get_running_loop()
        self._descriptor = _library().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise _init_error(root, ctypes.get_errno())
        self._loop.add_reader(self._descriptor, self._read)

    def add(self, folders: Iterable[bytes]) -> list[bytes]:
        """See `FolderEvents.add`."""
        return [folder for folder in folders if self._add(folder)]

    def close(self) -> None:
        """Stop listening."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _add(self, folder: bytes) -> bool:
        path = os.path.join(self._root, folder) if folder else self._root
        # The root may have been named by a link and is trusted; what is below is not followed.
        mask = _MASK if folder else _MASK & ~_DONT_FOLLOW
        watch = _library().inotify_add_watch(self._descriptor, path, mask)
        if watch < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOSPC, errno.ENOMEM):
                raise WatchLimitError(
                    root=os.fsdecode(self._root), reason=f"the system allows no more than {len(self._folders)} folders."
                )
            return False  # gone, or not ours to read: the walk says so
        known = self._folders.get(watch)
        self._folders[watch] = folder
        self._watches[folder] = watch
        return known != folder

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        hints: dict[Hint, None] = {}
        lost = False
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            lost = lost or bool(mask & (_OVERFLOW | _UNMOUNT))
            hint = self._hint(watch, mask, data[at - length : at].rstrip(b"\0"))
            if hint is not None:
                hints[hint] = None
        if hints or lost:
            self._tell(list(hints), lost)

    def _hint(self, watch: int, mask: int, name: bytes) -> Hint | None:
        if mask & _IGNORED:
            self._drop(watch)
            return None
        folder = self._folders.get(watch)
        if folder is None:
            return None
        if mask & _CHANGES and name:
            if mask & _ISDIR and mask & _MOVED_FROM:
                self._forget(os.path.join(folder, name))
            return Hint(folder, name, came_or_went=bool(mask & _COMINGS_AND_GOINGS))
        return Hint(b"", b"") if mask & (_DELETE_SELF | _MOVE_SELF) and not folder else None

    def _drop(self, watch: int) -> None:
        folder = self._folders.pop(watch, None)
        if folder is not None and self._watches.get(folder) == watch:
            del self._watches[folder]

    def _forget(self, moved: bytes) -> None:
        """Let go of a folder that has another name now, and of all below: the watches would tell the old names."""
        if moved not in self._watches:
            return
        below = moved + b"/"
        for folder, watch in list(self._watches.items()):
            if folder == moved or folder.startswith(below):
                del self._watches[folder]
                del self._folders[watch]
                _library().inotify_rm_watch(self._descriptor, watch)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    library.inotify_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)
    return library


def _init_error(root: bytes, number: int) -> WatchLimitError | WatchUnsupportedError:
    shown = os.fsdecode(root)
    if number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return WatchLimitError(root=shown, reason="the system allows no more watchers for this user.")
    return WatchUnsupportedError(root=shown, reason=f"{os.strerror(number)}.")
