"""Noticing that something changed in a folder: hints from the system, gathered until it is worth looking."""

from __future__ import annotations

from skep.knowledge.watching.inotify import InotifyEvents
from skep.knowledge.watching.interfaces import FolderEvents, Hint, TellHints, WatchLimitError, WatchUnsupportedError
from skep.knowledge.watching.opening import open_events
from skep.knowledge.watching.pending import Pending, Work

__all__ = [
    "FolderEvents",
    "Hint",
    "InotifyEvents",
    "Pending",
    "TellHints",
    "WatchLimitError",
    "WatchUnsupportedError",
    "Work",
    "open_events",
]
