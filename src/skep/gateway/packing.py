"""Unpacks answers that a provider packed although nobody asked for it: bounded, so that a small answer cannot fill the memory."""

from __future__ import annotations

import zlib

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""zlib's numbers: 31 is gzip, 47 finds out by itself whether there is a gzip or a zlib head."""

_STEP_BYTES = 1 << 20


class UnpackError(ValueError):
    """What came is not packed as it says, or in a way that nobody asked for, or too much comes out of it."""


class Unpacker:
    """Unpacks piece by piece; ``max_bytes`` in all, or None for a stream, of which each piece is bounded instead."""

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        """Raises UnpackError for an encoding other than gzip and deflate."""
        bits = _WINDOW_BITS.get(encoding.strip().lower())
        if bits is None:
            raise UnpackError(f"it is packed as {encoding[:40]!r}, which was not asked for")
        self._zlib = zlib.decompressobj(bits)
        self._max_bytes = max_bytes

    def feed(self, piece: bytes) -> bytes:
        """What this piece unpacks to. Raises UnpackError; ``max_bytes`` is the most that one piece may become."""
        parts: list[bytes] = []
        size = 0
        data = piece
        try:
            while data:
                part = self._zlib.decompress(data, _STEP_BYTES)
                size += len(part)
                if size > self._max_bytes:
                    raise UnpackError(f"it unpacks to more than {self._max_bytes} bytes")
                parts.append(part)
                data = self._zlib.unconsumed_tail
        except zlib.error as error:
            raise UnpackError("it is not packed as it says") from error
        return b"".join(parts)

    @property
    def is_whole(self) -> bool:
        """Whether the end of what was packed has come."""
        return self._zlib.eof
