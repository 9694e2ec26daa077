"""Errors of what Skep says about its work.

UnavailableError
└── LogFolderError          the folder for log files cannot be used
"""

from __future__ import annotations

from skep.errors import UnavailableError


class LogFolderError(UnavailableError):
    """The folder for log files, {path}, cannot be used: {reason}"""

    fix = "Give yourself the right to write there, or set log.folder to another folder, or to null for standard error."
