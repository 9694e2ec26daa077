"""For tests of windows that begin with each minute."""

from __future__ import annotations

import time


def pause_seconds(needed: float) -> float:
    """How long to wait so that what takes so many seconds does not reach into the next minute; mostly 0."""
    left = 60 - time.time() % 60
    return left if left < needed else 0.0
