"""What others call, loaded when they do: the protocol's library takes 0.5 s and 40 MB, knowledge as long again."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeAlias, cast

from skep.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from skep.access import Principal

Authenticated: TypeAlias = "Callable[[], Awaitable[Principal]]"
"""Who is asking. Raises the error that says why that cannot be known now."""


class HttpCarrier(Protocol):
    """Carries calls over HTTP."""

    def answer(self, who: Authenticated) -> ASGIApp:
        """What answers one request, in which ``who`` is asked for by calls of tools only."""

    async def start(self, ending: asyncio.Event) -> None:
        """Get ready; ``ending`` ends it."""


async def load_http(knowledge: Callable[[], object], *, default_top_k: int, max_body_bytes: int) -> HttpCarrier:
    """What carries calls over HTTP. ``knowledge`` is asked in each call; it may raise an UnavailableError."""
    module = await asyncio.to_thread(importlib.import_module, "skep.mcp.http")
    carrier = module.Http(knowledge, default_top_k=default_top_k, max_body_bytes=max_body_bytes)
    return cast(HttpCarrier, carrier)


def serve_stdio(settings: Settings, folder: Path) -> NoReturn:
    """Serve one client over standard input and output, as the local principal at work in ``folder``; ends the process."""
    # Loading makes many objects and no garbage; looking for some takes a fifth of the time. `stdio` turns it on again.
    gc.disable()
    importlib.import_module("skep.mcp.stdio").serve(settings, folder)
    raise AssertionError("serving ends the process")
