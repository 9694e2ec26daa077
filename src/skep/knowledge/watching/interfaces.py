"""What tells that something changed, and why it may not.

UnavailableError
├── WatchLimitError         the system's limit on watched folders, or on watchers
└── WatchUnsupportedError   this system or file system tells nothing
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from skep.errors import UnavailableError


class WatchLimitError(UnavailableError):
    """{root} cannot be watched for changes: {reason}"""

    fix = "Raise the limits, for example: sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"


class WatchUnsupportedError(UnavailableError):
    """{root} cannot be watched for changes: {reason}"""

    fix = "Nothing has to be done: the folder is looked through regularly instead (watch.polling_seconds)."


@dataclass(frozen=True, slots=True)
class Hint:
    """Something about a name in a folder may be different now. Never more than a hint."""

    folder: bytes
    """Relative to the root, as the system spells it; empty for the root."""
    name: bytes
    """Empty: the root itself was moved or deleted."""
    came_or_went: bool = True
    """False: it was there before and is there still; only its content or rights may differ."""


TellHints = Callable[[Sequence[Hint], bool], None]
"""Takes hints as they come, in the loop's thread. True: some were lost, so that anything may have changed."""


class FolderEvents(Protocol):
    """The system's change events for some folders below one root."""

    def add(self, folders: Iterable[bytes]) -> list[bytes]:
        """Listen to folders (relative to the root) as well; those that were not listened to until now come back.

        Folders that are not there are left out. May be called from another thread. Raises WatchLimitError.
        """

    def close(self) -> None:
        """Stop listening."""
