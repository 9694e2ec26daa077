"""Change events where there is no inotify (macOS: FSEvents), through watchfiles, which listens to a whole tree."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from skep.knowledge.walking import RootMissingError, encode_path
from skep.knowledge.watching.interfaces import Hint, TellHints, WatchLimitError

_DEBOUNCE_MS, _STEP_MS, _TIMEOUT_MS = 50, 20, 1_000
"""How long it gathers at most, how often it looks, and when it comes back with nothing."""

_MODIFIED = 2
"""`watchfiles.Change.modified`; the others mean that something came or went."""


class NotifyEvents:
    """One watchfiles watcher for the tree below ``root``; what happens in folders nobody asked for is left out here.

    Made in the thread of the running loop. The class beneath the public generators is used because only it says when the
    listening has begun. Raises WatchLimitError, RootMissingError.
    """

    def __init__(self, root: bytes, tell: TellHints) -> None:
        self._root = os.path.realpath(root)
        self._tell = tell
        self._folders: set[bytes] = set()
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        try:
            self._notify = RustNotify(
                [os.fsdecode(self._root)],
                debug=False,
                force_polling=False,
                poll_delay_ms=0,
                recursive=True,
                ignore_permission_denied=True,
            )
        except FileNotFoundError as error:
            raise RootMissingError(path=encode_path(root)) from error
        except (OSError, WatchfilesRustInternalError) as error:
            raise WatchLimitError(root=os.fsdecode(root), reason=f"{error}.") from error
        threading.Thread(target=self._hear, name="skep-watch-notify", daemon=True).start()

    def add(self, folders: Iterable[bytes]) -> list[bytes]:
        """See `FolderEvents.add`."""
        new = [folder for folder in folders if folder not in self._folders]
        self._folders.update(new)
        return new

    def close(self) -> None:
        """Stop listening; the thread ends soon."""
        self._stopping.set()

    def _hear(self) -> None:
        while not self._stopping.is_set():
            try:
                heard = self._notify.watch(_DEBOUNCE_MS, _STEP_MS, _TIMEOUT_MS, self._stopping)
            except WatchfilesRustInternalError:
                # It does not say what it lost.
                heard = set()
                self._hand_over([], has_lost=True)
                self._stopping.wait(_TIMEOUT_MS / 1000)
            if isinstance(heard, set) and heard and not self._stopping.is_set():
                self._hand_over([hint for change, path in heard if (hint := self._hint(change, path))], has_lost=False)

    def _hand_over(self, hints: list[Hint], *, has_lost: bool) -> None:
        # A loop that has ended meanwhile wants no hints.
        if (hints or has_lost) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell_unless_closed, hints, has_lost)

    def _tell_unless_closed(self, hints: list[Hint], has_lost: bool) -> None:
        if not self._stopping.is_set():
            self._tell(hints, has_lost)

    def _hint(self, change: int, path: str) -> Hint | None:
        raw = os.fsencode(path)
        if raw == self._root:
            return Hint(b"", b"") if change != _MODIFIED else None
        folder, _, name = raw.removeprefix(self._root).lstrip(b"/").rpartition(b"/")
        # A folder that is not known yet was itself told of, in the one it lies in.
        return Hint(folder, name, came_or_went=change != _MODIFIED) if folder in self._folders else None
