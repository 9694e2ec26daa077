"""When a process of ours shall end: it is told by a signal, or its parent is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def on_end(end: Callable[[], None], *, supervised: bool) -> Iterator[None]:
    """While the block runs, call ``end`` for each ending signal, and when a supervised process loses its parent."""
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        loop.add_signal_handler(number, end)
    pipe = sys.__stdin__.fileno() if supervised and sys.__stdin__ is not None else None

    def hear() -> None:
        if pipe is not None and not os.read(pipe, 1024):
            loop.remove_reader(pipe)
            end()

    if pipe is not None:
        loop.add_reader(pipe, hear)
    try:
        yield
    finally:
        if pipe is not None:
            loop.remove_reader(pipe)
        for number in ENDING_SIGNALS:
            loop.remove_signal_handler(number)
