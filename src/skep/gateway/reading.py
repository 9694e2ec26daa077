"""Reads the requests that come: quick ones at once, others in a thread, so that nobody else waits."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Executor
from functools import partial

from skep.gateway.caching import Headers
from skep.gateway.forms import is_form
from skep.gateway.generate_requests import Named
from skep.gateway.interfaces import ContentTypeWrongError
from skep.gateway.large_bodies import QUICK_BYTES, is_quick
from skep.gateway.media import LISTENING, MEDIA
from skep.gateway.media_requests import read_media
from skep.gateway.profiles import Face
from skep.gateway.requests import Known, read_request


async def read_call(face: Face, body: bytes, headers: Headers, threads: Executor, named: Named | None = None) -> Known:
    """What is known of a call; ``named`` is what its address says, where that names the model.

    Raises RequestInvalidError, ContentTypeWrongError.
    """
    if body and body[:1] != b"{":
        _refuse_other_types(face, body, _content_type(headers))
    if face in MEDIA:
        kind = _content_type(headers)
        read = partial(read_media, face, body, kind)
        if len(body) <= QUICK_BYTES:
            return read()
    elif is_quick(body):
        return read_request(face, body, quick=True, named=named)
    else:
        read = partial(read_request, face, body, quick=False, named=named)
    return await asyncio.get_running_loop().run_in_executor(threads, read)


def _content_type(headers: Headers) -> bytes:
    return next((value for name, value in headers if name == b"content-type"), b"")


_JSON = re.compile(rb"[ \t\r\n]*[{\[]")
_JSON_TYPE = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json[ \t]*(?:;|$)", re.IGNORECASE)
_FORMS: frozenset[Face] = frozenset((*LISTENING, "images.edits", "images.variations"))
"""Faces whose clients send files."""


def _refuse_other_types(face: Face, body: bytes, kind: bytes) -> None:
    """Raises ContentTypeWrongError for what neither looks like JSON nor is said to be: what a JSON reader finds wrong in a file helps nobody.

    Whatever looks like JSON is read as such, also where the header is one that clients send unasked.
    """
    if _JSON_TYPE.match(kind) or _JSON.match(body) or (face in MEDIA and is_form(kind)):
        return
    said = kind.partition(b";")[0].strip()[:100].decode("latin-1")
    raise ContentTypeWrongError(
        expected="multipart/form-data or JSON (application/json)" if face in _FORMS else "JSON (application/json)",
        came=f"says that it is {said}" if said.isprintable() and said else "has no content-type",
        param=None,
    )
