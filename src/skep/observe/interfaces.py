"""Errors of what Skep says about its work.

UsageError
└── MetricsAddressError     metrics cannot be sent where the settings say
UnavailableError
└── LogFolderError          the folder for log files cannot be used
"""

from __future__ import annotations

from skep.errors import UnavailableError, UsageError


class MetricsAddressError(UsageError):
    """Metrics cannot be sent to {address}: {reason}"""

    fix = "Correct metrics.otlp_endpoint or metrics.dogstatsd_address, or the variable that they were taken from."


class LogFolderError(UnavailableError):
    """The folder for log files, {path}, cannot be used: {reason}"""

    fix = "Give yourself the right to write there, or set log.folder to another folder, or to null for standard error."
