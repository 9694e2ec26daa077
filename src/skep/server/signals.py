"""When a process of ours shall end: it is told by a signal, or its parent is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def has_terminal() -> bool:
    """Whether this process has a terminal that would tell it, by SIGHUP, when it goes away; and which is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def on_end(end: Callable[[], None], *, supervised: bool, hung_up: Callable[[], None] | None = None) -> Iterator[None]:
    """While the block runs, call ``end`` for each ending signal, and when a supervised process loses its parent.

    ``hung_up`` is called for SIGHUP instead, which otherwise is an ending signal like the others.
    """
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        loop.add_signal_handler(number, hung_up if hung_up is not None and number is signal.SIGHUP else end)
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
