"""Where a process of the server writes its log."""

from __future__ import annotations

import sys

from skep.observe import LogFiles, RotatingFile, configure_logging
from skep.settings import LogSettings


def log_to_its_place(log: LogSettings, name: str, *, aside: bool = False) -> None:
    """Log to the file ``name`` in ``log.folder``, or to standard error if there is no folder or no name.

    ``aside``: by a thread; to files always. Raises LogFolderError.
    """
    if log.folder is None or not name:
        configure_logging(log.level, log.format, sys.stderr, aside=aside)
        return
    file = RotatingFile(LogFiles(log.folder, log.max_bytes, log.keep), name, log.format)
    configure_logging(log.level, log.format, file, aside=True)
