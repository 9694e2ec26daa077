"""Whether two questions of the same sense are near each other, too: asks the embedding model, in a thread and for a moment at most."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from skep.errors import UnavailableError
from skep.gateway.interfaces import LocalEmbedder
from skep.observe import event

_log = logging.getLogger(__name__)


class Similarity:
    """Compares texts by their vectors, in a thread of its own: what else is embedded must not stand before it. `close` it."""

    def __init__(self, embedder: LocalEmbedder) -> None:
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="skep-likeness")
        self._is_broken = False

    async def between(self, one: str, other: str, wait_seconds: float) -> float | None:
        """The cosine of two texts; None when that is not known in time, as for the first while the model is loaded."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(wait_seconds):
                return await loop.run_in_executor(self._thread, self._cosine, one, other)
        except TimeoutError:
            return None
        except UnavailableError as error:
            if not self._is_broken:
                event(
                    _log,
                    logging.WARNING,
                    "questions are not compared, only the same are answered again",
                    reason=str(error),
                )
            self._is_broken = True
            return None

    def close(self) -> None:
        """Begin with nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _cosine(self, one: str, other: str) -> float:
        first, second = self._embedder.embed([one, other])
        return float(first @ second)
