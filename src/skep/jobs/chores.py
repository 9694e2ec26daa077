"""What has to be done now and then though nobody asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from skep.observe import event

Chore = Callable[[], Awaitable[None]]
"""Does something that is harmless to do too often, and to interrupt. Says nothing."""

_FIRST_SECONDS = 5.0
_EVERY_SECONDS = 3600.0

_log = logging.getLogger(__name__)


async def do_chores(
    chores: Sequence[Chore], *, first_seconds: float = _FIRST_SECONDS, every_seconds: float = _EVERY_SECONDS
) -> None:
    """Do each, one after the other, soon and then every hour, until cancelled. What fails is tried again the next time."""
    pause_seconds = first_seconds
    while True:
        await asyncio.sleep(pause_seconds)
        pause_seconds = every_seconds
        for chore in chores:
            try:
                await chore()
            except Exception as error:  # noqa: BLE001 -- a loop that survives: the cause is logged, then tried again
                event(_log, logging.WARNING, "chore failed", reason=str(error), again_in_seconds=every_seconds)
