"""What can go wrong with output."""

from __future__ import annotations

from skep.errors import SkepError


class OutputError(SkepError):
    """The output cannot be written: {reason}"""

    fix = "Look at where the output goes; a full disk is the usual cause."
