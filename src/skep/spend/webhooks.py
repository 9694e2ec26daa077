"""Webhooks as https://www.standardwebhooks.com has them: signed, and sent to the one address that the settings name.

What answers decides nothing but whether it was taken: a redirect is not followed, and only the first line of the answer is read.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from skep import __version__

SEND_SECONDS = 10.0
"""For one attempt as a whole."""

_CLOSE_SECONDS = 1.0
_USUAL_PORTS = {"http": 80, "https": 443}


class WebhookFailedError(Exception):
    """An attempt was not taken; only inside this package."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, and what to sign with: by each of the keys."""

    url: str
    keys: tuple[bytes, ...]

    async def send(self, webhook_id: str, body: bytes, now: int) -> None:
        """Send once; ``now`` in seconds since 1970. Raises WebhookFailedError unless it was answered by 2xx in time."""
        head = request_head(self.url, headers(self.keys, webhook_id, body, now))
        try:
            async with asyncio.timeout(SEND_SECONDS):
                status = await _post(self.url, head + body)
        except TimeoutError as error:
            raise WebhookFailedError(f"it was not answered within {SEND_SECONDS:g} s") from error
        except (OSError, ValueError, asyncio.LimitOverrunError) as error:
            raise WebhookFailedError(f"{type(error).__name__}: {error}") from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise WebhookFailedError(f"it was answered by the status {status}")


def headers(keys: Sequence[bytes], webhook_id: str, body: bytes, now: int) -> dict[str, str]:
    """What says who sends this, and when."""
    signed = b"%s.%d.%s" % (webhook_id.encode(), now, body)
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": f"skep/{__version__}",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def request_head(url: str, said: dict[str, str]) -> bytes:
    """The head of the request in HTTP/1.1, for a connection that is not used again."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    lines = [f"POST {target} HTTP/1.1", f"host: {host}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in said.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _post(url: str, request: bytes) -> int:
    parts = urlsplit(url)
    # Made here: it reads the system's certificates, and mostly no alert is ever sent.
    tls = await asyncio.to_thread(ssl.create_default_context) if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or _USUAL_PORTS[parts.scheme], ssl=tls, limit=16_384
    )
    try:
        writer.write(request)
        await writer.drain()
        return status_of(await reader.readline())
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await writer.wait_closed()


def status_of(line: bytes) -> int:
    """The status in the first line of an answer. Raises ValueError when it is none."""
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("the answer is no HTTP")
    return int(rest[:3])
