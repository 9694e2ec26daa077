"""Reads the requests that come: quick ones at once, others in a thread, so that nobody else waits."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from functools import partial

from skep.gateway.caching import Headers
from skep.gateway.generate_requests import Named
from skep.gateway.large_bodies import QUICK_BYTES, is_quick
from skep.gateway.media import MEDIA
from skep.gateway.media_requests import read_media
from skep.gateway.profiles import Face
from skep.gateway.requests import Known, read_request


async def read_call(face: Face, body: bytes, headers: Headers, threads: Executor, named: Named | None = None) -> Known:
    """What is known of a call; ``named`` is what its address says, where that names the model. Raises RequestInvalidError."""
    if face in MEDIA:
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        read = partial(read_media, face, body, kind)
        if len(body) <= QUICK_BYTES:
            return read()
    elif is_quick(body):
        return read_request(face, body, quick=True, named=named)
    else:
        read = partial(read_request, face, body, quick=False, named=named)
    return await asyncio.get_running_loop().run_in_executor(threads, read)
