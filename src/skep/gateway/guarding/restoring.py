"""Puts the values back where a provider wrote their placeholders, on the way to the client: the last thing that happens to an answer.

What is kept of an answer (in the cache, beside the ledger) is kept before, so no value gets there.
"""

from __future__ import annotations

from starlette.types import Message, Send

from skep.gateway.guarding.events import EventRewriter
from skep.gateway.guarding.json_texts import changed
from skep.gateway.guarding.vault import RestoringText, Vault
from skep.gateway.profiles import Face
from skep.web import WHOLE_ANSWER


class _Restored:
    """See `Texts`."""

    drops_unread = False
    only_looks = False

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def begin(self) -> RestoringText:
        """See `Texts`."""
        return RestoringText(self._vault)

    def whole(self, text: str) -> str:
        """See `Texts`."""
        return self._vault.restored(text)


class RestoringSend:
    """Sends like the ``send`` that it was made of."""

    __slots__ = ("_rewriter", "_send", "_vault")

    def __init__(self, send: Send, face: Face, vault: Vault) -> None:
        self._send = send
        self._vault = vault
        self._rewriter = EventRewriter(face, _Restored(vault))

    async def __call__(self, message: Message) -> None:
        """Restore it, and pass it on."""
        body = message.get("body")
        if body and message["type"] == WHOLE_ANSWER:
            # Vectors are long, and have none.
            if any(name.encode() in body for name in self._vault.values):
                message = {**message, "body": changed(body, lambda text, _: self._vault.restored(text))}
        elif body:
            message = {**message, "body": self._rewriter.feed(body)}
        await self._send(message)
