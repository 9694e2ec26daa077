"""The bank that the database is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import errors
from typing_extensions import override

from skep.spend.holdings import NEVER, WindowView
from skep.spend.interfaces import MeterUnavailableError
from skep.spend.ports import Bank, Wish
from skep.store import Database, Queries

LEASE_SECONDS = 30.0
"""How long the database grants leases for. They are used half as long (`MeterOptions.valid_seconds`), renewed at a third."""

ANSWER_SECONDS = 5.0
"""How long the database may take for one of these. What it did all the same is known after the next renewal."""

queries = Queries("skep.spend")


class DatabaseTeller(Bank):
    """Leases of one process, kept in the database. Its methods raise the errors of the store."""

    def __init__(self, database: Database, process_id: int, node: str) -> None:
        self._database = database
        self._process_id = process_id
        self._node = node
        self.rules_version = 0
        """Of the rules that this process goes by."""

    @override
    async def acquire(self, wishes: Sequence[Wish]) -> list[WindowView]:
        async with _in_time():
            views = await self._acquire(wishes, [wish for wish in wishes if wish.is_new])
            if len(views) < len(wishes):
                # A window has ended meanwhile, or somebody's rule is gone.
                known = {(view.rule_id, view.value) for view in views}
                new = [wish for wish in wishes if (wish.rule_id, wish.value) not in known]
                views += await self._acquire(new, new)
            return views

    @override
    async def give_back(self, amounts: Mapping[int, int]) -> None:
        bound = {"process_id": self._process_id, "window_ids": list(amounts), "amounts": list(amounts.values())}
        async with _in_time():
            await self._database.execute(queries["give_back"], bound)

    @override
    async def recall(self, window_ids: Collection[int]) -> None:
        async with _in_time():
            for payload in recall_payloads(self._process_id, window_ids):
                await self._database.fetch_tuples(queries["tell_recall"], {"payload": payload})

    @override
    async def renew(self) -> Mapping[int, int]:
        bound = {
            "process_id": self._process_id,
            "node": self._node,
            "lease_seconds": LEASE_SECONDS,
            "rules_version": self.rules_version,
        }
        async with _in_time():
            await self._database.execute(queries["renew_process"], bound)
            return dict(await self._database.fetch_tuples(queries["fetch_leases"], {"process_id": self._process_id}))

    async def _acquire(self, wishes: Sequence[Wish], new: Sequence[Wish]) -> list[WindowView]:
        # A call waits for the answer: windows that may not be there are opened on the same way to the database.
        opening = {
            "rule_ids": [wish.rule_id for wish in new],
            "values": [wish.value for wish in new],
            "starts": [wish.starts_at for wish in new],
        }
        try:
            rows = await self._database.fetch_tuples(
                queries["acquire_leases"],
                {
                    "process_id": self._process_id,
                    "rule_ids": [wish.rule_id for wish in wishes],
                    "values": [wish.value for wish in wishes],
                    "starts": [wish.starts_at for wish in wishes],
                    "needs": [wish.need for wish in wishes],
                    "leasts": [wish.least for wish in wishes],
                    "wants": [wish.want for wish in wishes],
                },
                before=(queries["open_windows"], opening) if new else None,
            )
        except errors.ForeignKeyViolation as error:
            # Somebody released this process' leases because it had been silent for too long.
            raise MeterUnavailableError(reason="this process was taken for dead; it renews its leases") from error
        return [_view(row) for row in rows]


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """What changes leases goes one by one: none of it may hold up the others for long. Raises MeterUnavailableError."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise MeterUnavailableError(reason=f"the database did not answer within {ANSWER_SECONDS:g} s") from error


def _view(row: Sequence[Any]) -> WindowView:
    window_id, rule_id, value, granted, used, others, starts_at, starts_in, ends_at, ends_in = row
    ends_in = NEVER if ends_in is None else ends_in
    return WindowView(window_id, rule_id, value, granted, used, others, starts_at, starts_in, ends_at, ends_in)


_MOST_IN_PAYLOAD = 300
"""Windows in one notification; PostgreSQL takes 8,000 bytes."""


def recall_payloads(process_id: int, window_ids: Collection[int]) -> list[str]:
    """How a recall is told: ``recall <process> <window>,<window>,...``."""
    ordered = sorted(window_ids)
    return [
        f"recall {process_id} {','.join(map(str, ordered[start : start + _MOST_IN_PAYLOAD]))}"
        for start in range(0, len(ordered), _MOST_IN_PAYLOAD)
    ]


def parse_recall(payload: str) -> tuple[int, list[int]] | None:
    """The process that needs room and the windows; None for any other notification."""
    word, _, rest = payload.partition(" ")
    if word != "recall":
        return None
    process_id, _, windows = rest.partition(" ")
    return int(process_id), [int(window) for window in windows.split(",")]
