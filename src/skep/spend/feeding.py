"""What keeps a meter alive: renewing, giving back, reading rules, flushing its journal, adopting those of the dead."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from skep.errors import UnavailableError
from skep.jobs import end_task
from skep.observe import NO_METRICS, Metrics, event
from skep.spend.adopting import LeftJournal, left_journals
from skep.spend.alerting import Alerts
from skep.spend.database_bank import DatabaseTeller, parse_recall, queries
from skep.spend.flushing import Flushed, flush, prepare
from skep.spend.interfaces import ForeignDatabaseError
from skep.spend.journal import FileJournal
from skep.spend.meter import LeasedMeter, MeterOptions
from skep.spend.models import Rule
from skep.spend.prices import price_facts
from skep.spend.rules import rule_of
from skep.spend.webhooks import Webhook
from skep.store import Connection, Database, hear

JOURNAL_FOLDER = "journal"
REJECTS_FILE = "rejected.log"

RENEW_SECONDS = 10.0
"""A third of what the database grants."""

TIDY_SECONDS = 2.0
ADOPT_SECONDS = 3.0
AHEAD_STEP_SECONDS = 1.0

RULES_SECONDS = 5.0
"""How often the rules are read though nobody told of a change: some poolers lose notifications."""

ALERTS_SECONDS = 5.0
"""How often it is looked for alerts that others noticed and had no time to tell, and for webhooks to try again."""

_START_SECONDS = 2.0
"""How long a start waits for the database."""

_AGAIN_SECONDS = 0.5
"""After the database did not answer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpendOptions:
    """What the settings say about spending."""

    data_folder: Path
    node: str
    """Names the data folder among those that share the database."""
    meter: MeterOptions = field(default_factory=MeterOptions)
    flush_seconds: float = 1.0
    """How long an ended call waits at most on its way into the ledger."""
    sync_journal: bool = False
    """Whether a call waits until its line in the journal is safe from power loss."""
    close_seconds: float = 5.0
    """How long closing waits for the database; what is not in the ledger by then stays in the journal."""
    webhook: Webhook | None = None
    """Where alerts are sent to; None: nowhere."""
    metrics: Metrics = NO_METRICS


class Feeder:
    """Owns a process' journal, its meter, and the tasks that connect both with the database."""

    def __init__(self, database: Database, options: SpendOptions) -> None:
        self.process_id = secrets.randbits(62)
        self.folder = options.data_folder / JOURNAL_FOLDER
        self._database = database
        self._options = options
        self._flush_now = asyncio.Event()
        self._flush_turn = asyncio.Lock()
        self._rules_changed = asyncio.Event()
        self._recalled = asyncio.Event()
        self._recalls: dict[int, set[int]] = {}
        """Windows by the process that needs room in them."""
        self._rules: list[Rule] | None = None
        self._noted_prices: set[str] = set()
        self._rejected = 0
        """Lines of ours that the database could not read: what was reserved for their calls is not given back."""
        self._said: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.journal = FileJournal(
            self.folder,
            self.process_id,
            sync=options.sync_journal,
            wake=self._flush_now.set,
            soon=lambda do: asyncio.get_running_loop().call_soon(do),
        )
        self.foreign: dict[str, int] = {}
        """Journals in our folder that belong to another database, by name, with their bytes: they are left alone."""
        self._teller = DatabaseTeller(database, self.process_id, options.node)
        self.meter = LeasedMeter(self._teller, self.journal, options.meter)
        self._alerts = Alerts(database, options.webhook, options.metrics)
        self._alerts_noticed = asyncio.Event()
        self._webhooks_due = asyncio.Event()

    async def start(self) -> None:
        """Begin. A database that is away is waited for: until it is there, calls are refused with the reason.

        Raises JournalUnwritableError.
        """
        self.journal.start()
        # Tried here, so that a process whose database is there admits its first call.
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                for name, step in (("rules", self._read_rules), ("leases", self._renew)):
                    await self._try(name, step)
        loops = {
            "renew": self._loop("leases", self._renew, RENEW_SECONDS),
            "ahead": self._loop("windows to come", self.meter.look_ahead, AHEAD_STEP_SECONDS),
            "tidy": self._loop("tidying", self.meter.tidy, TIDY_SECONDS),
            "rules": self._loop("rules", self._read_rules, RULES_SECONDS, self._rules_changed),
            "recalls": self._loop("recalls", self._give_back, None, self._recalled),
            "adopt": self._loop("adopting", self.adopt, ADOPT_SECONDS),
            "flush": self._loop("ledger", self._flush_through, 0.0),
            "alerts": self._loop("alerts", self._tell_alerts, ALERTS_SECONDS, self._alerts_noticed),
            "webhooks": self._loop("webhooks", self._alerts.deliver, ALERTS_SECONDS, self._webhooks_due),
            "hear": hear(self._database, queries["listen_spend"], self._hear),
        }
        self._tasks = [asyncio.create_task(loop, name=f"skep-spend-{name}") for name, loop in loops.items()]

    async def close(self) -> None:
        """Put everything into the ledger and give back all leases, if the database answers in time; else others will."""
        await self.meter.close()
        for task in self._tasks:
            await end_task(task)
        is_done = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.close_seconds):
                is_done = await self._try("closing", self._finish) and not self.journal.open_calls
        self.journal.close(is_done=is_done)

    async def adopt(self) -> int:
        """Take over the journals of dead processes in our data folder; how many there were. Raises an UnavailableError."""
        adopted = 0
        foreign = {}
        await self._recognise()
        with closing(left_journals(self.folder)) as found:
            for left in found:
                if left.belongs_to(self.journal.database):
                    await self._adopt_one(left)
                    adopted += 1
                else:
                    foreign[left.lock.stem] = left.size
        for name in foreign.keys() - self.foreign.keys():
            event(_log, logging.WARNING, "journal of another database left alone", journal=name, bytes=foreign[name])
        self.foreign = foreign
        return adopted

    async def _recognise(self) -> int:
        """See that the database is still the one that our calls belong to; the version of its rules.

        Raises ForeignDatabaseError, and other UnavailableErrors.
        """
        ((identity, rules_version),) = await self._database.fetch_tuples(queries["fetch_installation"])
        self._compare(identity)
        return int(rules_version)

    def _compare(self, identity: str) -> None:
        if not self.journal.database:
            self.journal.name_database(identity)
        elif identity != self.journal.database:
            raise ForeignDatabaseError(where=self._database.where)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """A connection that `flush` can use, to our own database."""
        async with self._database.own_connection() as connection:
            row = await (await connection.execute(queries["fetch_installation"])).fetchone()
            self._compare("" if row is None else row[0])
            await prepare(connection)
            yield connection

    async def _renew(self) -> None:
        await self._recognise()
        await self.meter.renew()

    async def flush(self) -> None:
        """Put everything that has ended into the ledger now. Raises an UnavailableError."""
        async with self._connected() as connection:
            await self._flush_all(connection)

    async def _finish(self) -> None:
        await self.flush()
        await self._alerts.tell()
        if not self.journal.open_calls and not self._rejected:
            await self._database.execute(queries["release_process"], {"process_id": self.process_id})

    async def _adopt_one(self, left: LeftJournal) -> None:
        calls = lost = rejected = 0
        async with self._connected() as connection:
            for lines in left.batches():
                flushed = await flush(connection, left.process_id, lines, rejects=self.folder / REJECTS_FILE)
                self._note_alerts(flushed)
                calls += lines.count(b"\n")
                lost += lines.count(b"\tlost\t")
                rejected += flushed.rejected
            if not rejected:
                await connection.execute(queries["release_process"], {"process_id": left.process_id})
        left.remove()
        told = {"calls": calls, "lost": lost, "rejected": rejected or None}
        event(_log, logging.WARNING, "journal adopted", process=f"{left.process_id:x}", **told)

    async def _loop(
        self,
        name: str,
        step: Callable[[], Awaitable[object]],
        seconds: float | None,
        sooner: asyncio.Event | None = None,
    ) -> None:
        """Do a step again and again: after so many seconds, or sooner when that is set; None: only then."""
        while True:
            done = await self._try(name, step)
            pause = seconds if done else _AGAIN_SECONDS
            if sooner is None:
                await asyncio.sleep(pause or 0)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await sooner.wait()
            sooner.clear()

    async def _try(self, name: str, step: Callable[[], Awaitable[object]]) -> bool:
        """Whether a step went well. A reason why not is told once."""
        try:
            await step()
        except UnavailableError as error:
            reason = str(error)
            if self._said.get(name) != reason:
                self._said[name] = reason
                event(_log, logging.WARNING, "spending waits for the database", what=name, reason=reason)
            return False
        except Exception as error:  # noqa: BLE001 -- a loop that survives: the cause is logged, then tried again
            event(_log, logging.ERROR, "spending failed", what=name, reason=f"{type(error).__name__}: {error}")
            return False
        self._said.pop(name, None)
        return True

    async def _read_rules(self) -> None:
        # The version first: rules that are newer than it do no harm. Thousands of them take some hundredths of a second to read, and
        # calls wait meanwhile: mostly they are as they were.
        version = await self._recognise()
        if self._rules is not None and version == self._teller.rules_version:
            return
        rules = [rule_of(row) for row in await self._database.fetch_tuples(queries["fetch_all_rules"])]
        if rules != self._rules:
            self._rules = rules
            self.meter.change_rules(rules)
        bound = {"process_id": self.process_id, "rules_version": version}
        await self._database.execute(queries["note_rules_version"], bound)
        self._teller.rules_version = version

    async def _flush_through(self) -> None:
        """Flush now and then, on one connection, until that breaks."""
        async with self._connected() as connection:
            while True:
                await self._flush_all(connection)
                self._said.pop("ledger", None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._options.flush_seconds):
                        await self._flush_now.wait()
                self._flush_now.clear()

    async def _flush_all(self, connection: Connection) -> None:
        async with self._flush_turn:
            await self._note_prices(connection)
            while (batch := self.journal.next_batch()) is not None:
                flushed = Flushed()
                self.meter.flush_begun()
                try:
                    flushed = await flush(connection, self.process_id, batch.lines, rejects=self.folder / REJECTS_FILE)
                    self._rejected += flushed.rejected
                    self.journal.done(batch)
                finally:
                    self.meter.flush_ended(flushed.windows)
                self._note_alerts(flushed)

    async def _note_prices(self, connection: Connection) -> None:
        """A price is known before the first call that was charged by it: `skep gateway explain` shows its numbers."""
        new = [price for version, price in self.meter.prices.items() if version not in self._noted_prices]
        if new:
            rates = [orjson.dumps(price_facts(price)).decode() for price in new]
            bound = {"versions": [price.version for price in new], "rates": rates}
            await connection.execute(queries["note_prices"], bound)
            self._noted_prices.update(price.version for price in new)

    def _note_alerts(self, flushed: Flushed) -> None:
        if flushed.has_alerts:
            self._alerts_noticed.set()

    async def _tell_alerts(self) -> None:
        if await self._alerts.tell():
            self._webhooks_due.set()

    def _hear(self, payload: str) -> None:
        recall = parse_recall(payload)
        if recall is None:
            self._rules_changed.set()
        elif recall[0] != self.process_id:
            self._recalls.setdefault(recall[0], set()).update(recall[1])
            self._recalled.set()

    async def _give_back(self) -> None:
        recalls, self._recalls = self._recalls, {}
        for by_process_id, window_ids in recalls.items():
            await self.meter.recalled(window_ids, by_process_id=by_process_id, process_id=self.process_id)
