"""Calls without a key: so many a minute from one address, exact in all processes on the database.

Counted, and not leased like the rules: addresses are many and strange, and who sends no key waits for the database. All who come
while it is asked are counted by the next statement together, and an address that has used up its minute asks it no more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from skep.errors import UnavailableError
from skep.observe import event
from skep.spend.interfaces import AddressLimitError, MeterUnavailableError
from skep.store import Database, Queries

_ANSWER_SECONDS = 3.0
_TIDY_SECONDS = 300.0

_MOST_FULL = 10_000
"""So many addresses without room are remembered."""

_PREFIX_BITS = 64
"""What one customer is given of IPv6 at least (RFC 6177): within it, addresses cost nothing."""

_queries = Queries("skep.spend")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AddressWindow:
    """How many calls without a key an address may make in this minute."""

    address: str
    """Of IPv6 the /64 around it."""
    amount: int
    used: int
    remaining: int
    reset_seconds: float


@dataclass(slots=True)
class _Asked:
    address: str
    answer: asyncio.Future[tuple[int, float]]
    """The number of this call in its minute, and how many seconds that still has."""


class AddressWindows:
    """See the module. Belongs to one event loop; `close` it."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None
        self._full: dict[str, tuple[float, int]] = {}
        """Until when, and how many calls were counted."""
        self._tidied = clock()

    async def count(self, address: str, most: int) -> AddressWindow:
        """Count a call from an address, of which there may be ``most`` a minute.

        Raises AddressLimitError when that is one too many, an UnavailableError when the database does not answer.
        """
        address = address_group(address)
        until, known = self._full.get(address, (0.0, 0))
        left = until - self._clock()
        number = known + 1
        if left <= 0 or number <= most:
            number, left = await self._ask(address)
        if number > most:
            self._note_full(address, self._clock() + left, number)
            raise _refusal(address, most, left)
        return AddressWindow(address, most, number, most - number, round(left, 3))

    async def close(self) -> None:
        """Count nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(self._waiting, MeterUnavailableError(reason="this process is stopping"))

    async def _ask(self, address: str) -> tuple[int, float]:
        asked = _Asked(address, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve(), name="skep-address-windows")
        return await asked.answer

    async def _serve(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._count_all(batch)
            except UnavailableError as error:
                self._fail(batch, MeterUnavailableError(reason=str(error)))
            except TimeoutError:
                reason = f"the database did not answer within {_ANSWER_SECONDS:g} s"
                self._fail(batch, MeterUnavailableError(reason=reason))
            except Exception as error:  # noqa: BLE001 -- handed to those who wait; the next call tries again
                event(_log, logging.ERROR, "counting calls by address failed", error=repr(error))
                self._fail(batch, error)

    async def _count_all(self, batch: Sequence[_Asked]) -> None:
        if self._clock() - self._tidied > _TIDY_SECONDS:
            self._tidied = self._clock()
            await self._database.execute(_queries["forget_addresses"])
        numbers = Counter(asked.address for asked in batch)
        bound = {"addresses": list(numbers), "asked": list(numbers.values())}
        rows = await self._database.fetch_tuples(_queries["count_addresses"], bound)
        counted = {address: (int(total), max(0.0, float(left))) for address, total, left in rows}
        for asked in batch:
            total, left = counted[asked.address]
            numbers[asked.address] -= 1
            if not asked.answer.done():
                asked.answer.set_result((total - numbers[asked.address], left))

    def _note_full(self, address: str, until: float, number: int) -> None:
        if len(self._full) >= _MOST_FULL:
            now = self._clock()
            self._full = {each: told for each, told in self._full.items() if told[0] > now}
        if len(self._full) < _MOST_FULL:
            self._full[address] = until, number

    def _fail(self, batch: Sequence[_Asked], error: Exception) -> None:
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(error)


def address_group(address: str) -> str:
    """Whose an address is: of IPv6 the /64 around it, since within that a customer has as many as they want."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found, _PREFIX_BITS), strict=False))
    return str(found)


def _refusal(address: str, most: int, left: float) -> AddressLimitError:
    return AddressLimitError(
        metric="requests",
        address=address,
        amount=most,
        used=most,
        seconds=max(1, round(left)),
        retry_after_seconds=left,
    )
