"""Spending, opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from skep.spend.feeding import Feeder, SpendOptions
from skep.spend.interfaces import Meter
from skep.store import Database


@dataclass(frozen=True, slots=True)
class Metering:
    """A meter at work in this process, and what is to be known of it."""

    meter: Meter
    feeder: Feeder

    @property
    def waiting_bytes(self) -> int:
        """How much of the journal is not known to be in the ledger."""
        return self.feeder.journal.waiting_bytes

    @property
    def foreign_journals(self) -> dict[str, int]:
        """Journals in the data folder that belong to another database, with their bytes."""
        return self.feeder.foreign

    async def flush(self) -> None:
        """Put everything that has ended into the ledger now. Raises an UnavailableError."""
        await self.feeder.flush()


@asynccontextmanager
async def open_metering(database: Database, options: SpendOptions) -> AsyncIterator[Metering]:
    """Meter calls in this process until the end of the block, on an opened database; which may be away.

    At the end, what was recorded is put into the ledger and leases are given back, as far as the database answers.
    Raises JournalUnwritableError.
    """
    feeder = Feeder(database, options)
    try:
        await feeder.start()
        yield Metering(feeder.meter, feeder)
    finally:
        await feeder.close()
