"""Listens to an answer on its way to the client, so that it can be kept. Pure but for passing on."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import Message, Send

from skep.gateway.caching.entries import MOST_ANSWER_BYTES, Entry
from skep.gateway.streaming import COST_COMMENT
from skep.web import WHOLE_ANSWER

_MISS = (b"x-skep-cache", b"miss")


_CUT = re.compile(
    rb'"(?:finish_reason|stop_reason|reason|finishReason)"\s*:\s*"(?:length|max_tokens|max_output_tokens|MAX_TOKENS)"'
)
"""How an answer says that it is not whole, because it came to its bound."""


class Recorder:
    """Sends like the ``send`` that it was made of."""

    __slots__ = ("_content_type", "_is_good", "_is_whole", "_parts", "_send", "_size")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._parts: list[bytes] = []
        self._size = 0
        self._content_type = b""
        self._is_whole = True
        self._is_good = True

    async def __call__(self, message: Message) -> None:
        """Take note, and pass it on."""
        self._note(message)
        await self._send(message)

    def _note(self, message: Message) -> None:
        kind = message["type"]
        if kind in (WHOLE_ANSWER, "http.response.start"):
            self._is_whole = kind == WHOLE_ANSWER
            self._is_good = message["status"] == HTTPStatus.OK
            self._content_type = next((value for name, value in message["headers"] if name == b"content-type"), b"")
            message["headers"].append(_MISS)
        body = message.get("body")
        if body and self._is_good:
            self._parts.append(body)
            self._size += len(body)
            if self._size > MOST_ANSWER_BYTES:
                self._is_good = False
                self._parts.clear()

    @property
    def was_cut(self) -> bool:
        """Whether the answer came to its bound."""
        return any(_CUT.search(part) is not None for part in self._parts)

    def entry(
        self, *, provider: str, model_used: str, cost_nusd: int | None, epochs: Mapping[str, int]
    ) -> Entry | None:
        """What passed, to be kept; None when it was no answer, or too long. The call must have come to a good end."""
        if not self._is_good or not self._parts:
            return None
        body, last = b"".join(self._parts), b""
        if not self._is_whole:
            body, last = b"".join(self._parts[:-1]), self._parts[-1]
            if last.startswith(COST_COMMENT):
                last = last.partition(b"\n\n")[2]
        return Entry(
            body=body,
            last=last,
            is_stream=not self._is_whole,
            content_type=self._content_type,
            provider=provider,
            model_used=model_used,
            cost_nusd=cost_nusd,
            stored_at=time.time(),
            epochs=epochs,
        )
