"""Which kind of events this system has."""

from __future__ import annotations

import importlib
import sys

from skep.knowledge.watching.inotify import InotifyEvents
from skep.knowledge.watching.interfaces import FolderEvents, TellHints


def open_events(root: bytes, tell: TellHints, platform: str = sys.platform) -> FolderEvents:
    """The system's events below ``root``; no folder is listened to yet. Needs a running loop.

    Raises WatchLimitError, WatchUnsupportedError, RootMissingError.
    """
    if platform == "linux":
        return InotifyEvents(root, tell)
    # Imported where it is needed: on Linux no command pays for it.
    events: FolderEvents = importlib.import_module("skep.knowledge.watching.notify").NotifyEvents(root, tell)
    return events
