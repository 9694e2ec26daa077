"""Calls of models without a key: made as the key that the settings name for them, so many a minute from each address."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from skep.access import KeyInvalidError, Principal
from skep.observe import event
from skep.settings import GatewaySettings
from skep.spend import AddressWindow, AddressWindows
from skep.web import span_text

_REQUESTS = b"-requests"
_LIMIT, _LEFT, _RESET = (b"x-ratelimit-%b-requests" % word for word in (b"limit", b"remaining", b"reset"))

_log = logging.getLogger(__name__)


class Keyless:
    """See the module. ``settings`` gives those that count now, ``windows`` what counts, or raises an UnavailableError."""

    def __init__(
        self,
        settings: Callable[[], GatewaySettings],
        windows: Callable[[], AddressWindows],
        authenticate: Callable[[str], Awaitable[Principal]],
    ) -> None:
        self._settings = settings
        self._windows = windows
        self._authenticate = authenticate

    async def admit(self, address: str) -> tuple[Principal, AddressWindow] | None:
        """As whom a call without a key is made, and where its address stands now that it is counted; None: it needs a key.

        Raises AddressLimitError, an UnavailableError.
        """
        said = self._settings()
        if said.keyless_key is None:
            return None
        try:
            principal = await self._authenticate(said.keyless_key.reveal())
        except KeyInvalidError as error:
            # Whoever asks sent no key, and is not told of one: it is for those who run the server to know.
            event(_log, logging.WARNING, "gateway.keyless_key is refused", reason=str(error))
            return None
        return principal, await self._windows().count(address, said.keyless_requests_per_minute)


def with_window(headers: list[tuple[bytes, bytes]], window: AddressWindow) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with what is left of the window unless they tell of a limit that is tighter."""
    for name, value in headers:
        if name == _LEFT and int(value) <= window.remaining:
            return headers
    others = [pair for pair in headers if not (pair[0].startswith(b"x-ratelimit-") and pair[0].endswith(_REQUESTS))]
    return [
        *others,
        (_LIMIT, b"%d" % window.amount),
        (_LEFT, b"%d" % window.remaining),
        (_RESET, span_text(window.reset_seconds).encode()),
    ]
