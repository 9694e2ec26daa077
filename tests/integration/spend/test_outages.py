"""Without a database, and without room on the disk."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from skep.spend import (
    ForeignDatabaseError,
    Metering,
    MeterOptions,
    MeterUnavailableError,
    Rules,
    SpendOptions,
    Ticket,
    open_metering,
)
from skep.spend import rules as rules_module
from skep.spend.journal import label
from skep.spend.lines import COLUMNS
from skep.store import Database, DatabaseUnavailableError, EmbeddedServer, ExternalServer
from tests.metering import Ledger, a_rule, an_ask, call, gather, make_rules, metering, open_database, used
from tests.postgres import migrate


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that a test may stop."""
    server = EmbeddedServer(tmp_path / "server", idle_stop_seconds=600, start_timeout_seconds=60)
    try:
        server.ensure_running()
        yield server
    finally:
        server.stop(20)


def address(server: EmbeddedServer) -> str:
    """A URL, good also after the server was started anew."""
    return psycopg.conninfo.make_conninfo(**server.ensure_running().conninfo())


@contextmanager
def ledger_of(url: str) -> Iterator[Ledger]:
    """What the database says, for a while."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield Ledger(connection)


async def recovers(opened: Any, ask: Any) -> None:
    """A call is admitted again, soon."""
    pause = 0.05
    async with asyncio.timeout(10):
        while True:
            try:
                assert await call(opened.meter, ask, 2)
                return
            except MeterUnavailableError:
                await asyncio.sleep(pause)
                pause *= 1.2


async def test_calls_go_on_within_leases_while_the_database_is_away(own_server: EmbeddedServer, tmp_path: Path) -> None:
    url = address(own_server)
    await migrate(url)
    who = await make_rules(url, a_rule("requests", 100_000), a_rule("cost", 10**9, subject="key", value="*"))
    async with metering(url, tmp_path / "data") as opened:
        for _ in range(3):
            assert all(await gather(*(call(opened.meter, an_ask(who.project_id, 10), 10) for _ in range(50))))
        await opened.flush()
        own_server.stop(20)
        held = [each.free for each in opened.feeder.meter.windows.values()]
        assert min(held) >= 10, "there is something in store"
        assert all(await gather(*(call(opened.meter, an_ask(who.project_id, 1), 1) for _ in range(10))))
        with pytest.raises(MeterUnavailableError, match=r"(does|did) not answer"):
            await opened.meter.admit(an_ask(who.project_id, 1, key_id="another"))
        assert opened.waiting_bytes > 0
        own_server.ensure_running()
        await recovers(opened, an_ask(who.project_id, 2, key_id="another"))
        await opened.flush()
        assert opened.waiting_bytes == 0
        with ledger_of(url) as ledger:
            ledger.check()
            assert ledger.one("select count(*) from call") == 161


async def test_a_start_without_a_database_recovers(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """What the process before it could not put into the ledger is put there by the one that comes after."""
    url = address(own_server)
    await migrate(url)
    who = await make_rules(url, a_rule("requests", 100))
    async with metering(url, tmp_path / "data", close_seconds=1.0) as before:
        open_one, over = [await before.meter.admit(an_ask(who.project_id, 2)) for _ in range(2)]
        before.meter.begin(open_one)
        before.meter.begin(over)
        own_server.stop(20)
        before.meter.settle(over, used(2))
    database = Database(ExternalServer(url), connect_timeout_seconds=2)
    try:
        options = SpendOptions(data_folder=tmp_path / "data", node="data")
        with pytest.raises(DatabaseUnavailableError):
            await database.open()
        async with open_metering(database, options) as opened:
            with pytest.raises(MeterUnavailableError, match="rules were not read"):
                await opened.meter.admit(an_ask(who.project_id, 2))
            own_server.ensure_running()
            await database.open()
            await recovers(opened, an_ask(who.project_id, 2))
            await opened.feeder.adopt()
            await opened.flush()
            with ledger_of(url) as ledger:
                ledger.check()
                assert sorted(row[0] for row in ledger.all("select outcome from call")) == ["lost", "ok", "ok"]
    finally:
        await database.close()


async def test_leases_are_not_used_when_their_time_is_over(database_url: str, tmp_path: Path) -> None:
    who = await make_rules(database_url, a_rule("requests", 1000))
    async with metering(database_url, tmp_path, meter=MeterOptions(valid_seconds=0.3)) as opened:
        for _ in range(3):
            await gather(*(call(opened.meter, an_ask(who.project_id, 2), 2) for _ in range(20)))
        ticket = opened.meter.try_admit(an_ask(who.project_id, 2))
        assert ticket is not None
        await asyncio.sleep(0.4)
        assert opened.meter.try_admit(an_ask(who.project_id, 2)) is None, "a process that was stopped must ask first"
        assert await call(opened.meter, an_ask(who.project_id, 2), 2)
        opened.meter.cancel(ticket)


DISK_FULL = """
import asyncio, json, os, resource, sys
from pathlib import Path
from skep.spend import JournalUnwritableError
from tests.metering import an_ask, metering, used

async def main(url, folder, project_id, most_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    begun, refused, tickets = [], 0, []
    async with metering(url, Path(folder), flush_seconds=30.0) as opened:
        for _ in range(200):
            ask = an_ask(project_id, 10)
            ticket = opened.meter.try_admit(ask) or await opened.meter.admit(ask)
            try:
                opened.meter.begin(ticket)
            except JournalUnwritableError:
                refused += 1
                continue
            begun.append(ask.call_id)
            tickets.append(ticket)
        for ticket in tickets:
            opened.meter.settle(ticket, used(7))
        print(json.dumps([begun, refused, opened.waiting_bytes]))
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


async def test_no_call_leaves_that_cannot_be_written_down(database_url: str, tmp_path: Path) -> None:
    """A file that may not grow behaves as one on a full disk: what was begun before still ends in the ledger."""
    who = await make_rules(database_url, a_rule("requests", 10_000), a_rule("cost", 10**9))
    root = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DISK_FULL, database_url, str(tmp_path), str(who.project_id), "20000"),
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    begun, refused, waiting = json.loads(out)
    assert begun
    assert refused == 200 - len(begun)
    assert waiting > 20_000, "ends wait in memory"
    with ledger_of(database_url) as ledger:
        ledger.check()
        rows = ledger.all("select call_id, cost_nusd, outcome from call")
    assert sorted(str(row[0]) for row in rows) == sorted(begun)
    assert {row[1:] for row in rows} == {(7, "ok")}


async def test_a_line_that_cannot_be_read_holds_nobody_up(database_url: str, tmp_path: Path) -> None:
    """It should not happen; it is put aside, and everything else gets into the ledger."""
    who = await make_rules(database_url, a_rule("requests", 100))
    async with metering(database_url, tmp_path, flush_seconds=30.0) as opened:
        for number in range(9):
            assert await call(opened.meter, an_ask(who.project_id, 2), 2)
            if number in (2, 6):
                opened.feeder.journal.end("x", f"E\tnonsense {number}\n")
        await opened.flush()
        assert opened.waiting_bytes == 0
        with ledger_of(database_url) as ledger:
            ledger.check()
            assert ledger.one("select count(*) from call") == 9
            assert ledger.one("select used from rule_window") == 9
    assert (tmp_path / "journal" / "rejected.log").read_text() == "E\tnonsense 2\nE\tnonsense 6\n"


async def test_a_call_that_ends_after_the_meter_closed_does_no_harm(database_url: str, tmp_path: Path) -> None:
    """It is in the journal as begun, and whoever comes next writes it down as lost."""
    who = await make_rules(database_url, a_rule("requests", 100))
    async with metering(database_url, tmp_path) as opened:
        ticket = await opened.meter.admit(an_ask(who.project_id, 2))
        opened.meter.begin(ticket)
    opened.meter.settle(ticket, used(2))
    async with metering(database_url, tmp_path) as after:
        await after.feeder.adopt()
    with ledger_of(database_url) as ledger:
        ledger.check()
        assert ledger.all("select outcome, estimated, cost_nusd from call") == [("lost", True, 2)]
        assert ledger.one("select count(*) from meter_process") == 0


def is_another(url: str) -> None:
    """The database becomes one that knows nothing of what was written down before."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("update installation set identity = gen_random_uuid()")


async def begun_between_flushes(opened: Metering, project_id: int) -> Ticket:
    """A call that nobody flushes but who is told to: flushing by itself is done with its first round and waits for its next."""
    ticket = await opened.meter.admit(an_ask(project_id, 2))
    opened.meter.begin(ticket)
    await opened.flush()
    return ticket


async def test_a_journal_of_another_database_is_left_alone(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone points SKEP_DATABASE_URL elsewhere: what is written down stays for the database that it belongs to."""
    who = await make_rules(database_url, a_rule("requests", 100))
    with psycopg.connect(database_url) as connection:
        old = connection.execute("select identity from installation").fetchone()
    async with metering(database_url, tmp_path, close_seconds=0.0, flush_seconds=60.0) as before:
        ticket = await begun_between_flushes(before, who.project_id)
        before.meter.settle(ticket, used(2))
    assert list((tmp_path / "journal").glob("*.log"))
    is_another(database_url)
    async with metering(database_url, tmp_path) as after:
        for _ in range(2):
            assert await after.feeder.adopt() == 0
        assert [size > 0 for size in after.foreign_journals.values()] == [True]
    with ledger_of(database_url) as ledger:
        assert ledger.one("select count(*) from call") == 0
        assert caplog.text.count("journal of another database left alone") == 1
        ledger.connection.execute("update installation set identity = %s", old)
    async with metering(database_url, tmp_path) as again, asyncio.timeout(20):
        # It adopts by itself, too: whoever was first holds the journal until its calls are in the ledger.
        with ledger_of(database_url) as ledger:
            while ledger.one("select count(*) from call") == 0:
                await again.feeder.adopt()
            assert ledger.one("select count(*) from call") == 1
        assert again.foreign_journals == {}


def as_written_by_another_version(folder: Path) -> None:
    """The journal in the folder, as a version would have left it that knew one column less, had one more, and another order."""
    (lock,) = folder.glob("*.lock")
    identity = lock.read_text().splitlines()[0]
    kept = [name for name in COLUMNS[2:] if name not in ("saved_nusd", "holds")]
    columns = [*COLUMNS[:2], "holds", "long_gone", *reversed(kept)]
    lock.write_bytes(label(identity, columns))
    for segment in folder.glob("*.log"):
        lines = []
        for line in segment.read_text().splitlines():
            cells = dict(zip(COLUMNS, line.split("\t"), strict=True)) | {"long_gone": "x"}
            lines.append("\t".join(cells[name] for name in columns) + "\n")
        segment.write_text("".join(lines))


async def test_a_journal_that_another_version_left_is_read(database_url: str, tmp_path: Path) -> None:
    """Killed, and started again by a newer version: nothing is lost, and nothing stays held."""
    who = await make_rules(database_url, a_rule("requests", 100))
    async with metering(database_url, tmp_path, close_seconds=0.0, flush_seconds=60.0) as before:
        ticket = await begun_between_flushes(before, who.project_id)
        before.meter.settle(ticket, used(2))
        open_ticket = await before.meter.admit(an_ask(who.project_id, 3))
        before.meter.begin(open_ticket)
    as_written_by_another_version(tmp_path / "journal")
    async with metering(database_url, tmp_path) as after, asyncio.timeout(20):
        with ledger_of(database_url) as ledger:
            while ledger.one("select count(*) from call") < 2:
                await after.feeder.adopt()
            ledger.check()
            found = ledger.all("select outcome, cost_nusd, saved_nusd, key_id from call order by outcome")
            assert found == [("lost", 3, None, ticket.ask.caller.key_id), ("ok", 2, None, ticket.ask.caller.key_id)]
    assert not (tmp_path / "journal" / "rejected.log").exists()


async def test_what_cannot_be_read_of_a_dead_process_stays_held(database_url: str, tmp_path: Path) -> None:
    """It was spent, whatever it was: given back, it could be spent again."""
    who = await make_rules(database_url, a_rule("requests", 100))
    async with metering(database_url, tmp_path, close_seconds=0.0, flush_seconds=60.0) as before:
        ticket = await begun_between_flushes(before, who.project_id)
        before.meter.settle(ticket, used(2))
    (segment,) = (tmp_path / "journal").glob("*.log")
    segment.write_text(segment.read_text().replace("\tok\t", "\tok\ttoo many cells\t"))
    async with metering(database_url, tmp_path) as after, asyncio.timeout(20):
        while list((tmp_path / "journal").glob(segment.name)):
            await after.feeder.adopt()
    with ledger_of(database_url) as ledger:
        assert ledger.one("select count(*) from call") == 0
        assert ledger.one("select count(*) from meter_process") == 1
        assert ledger.one("select leased > 0 from rule_window")
    assert "too many cells" in (tmp_path / "journal" / "rejected.log").read_text()


async def test_a_database_that_was_replaced_under_way_gets_nothing(database_url: str, tmp_path: Path) -> None:
    who = await make_rules(database_url, a_rule("requests", 100))
    async with metering(database_url, tmp_path, close_seconds=1.0, flush_seconds=60.0) as opened:
        ticket = await begun_between_flushes(opened, who.project_id)
        is_another(database_url)
        opened.meter.settle(ticket, used(2))
        with pytest.raises(ForeignDatabaseError):
            await opened.flush()
        with pytest.raises(ForeignDatabaseError):
            await opened.feeder.adopt()
    with ledger_of(database_url) as ledger:
        assert ledger.one("select count(*) from call") == 0
    assert list((tmp_path / "journal").glob("*.log"))


async def test_a_rule_is_in_force_in_every_process_when_it_is_made(database_url: str, tmp_path: Path) -> None:
    """Not some milliseconds later: a call that begins after the command has ended is refused."""
    who = await make_rules(database_url)
    database = await open_database(database_url)
    rules = Rules(database)
    async with metering(database_url, tmp_path / "a") as one, metering(database_url, tmp_path / "b") as other:
        for number in range(20):
            name = f"rule-{number}"
            await rules.create(who, a_rule("requests", 0, name=name))
            for each in (one, other):
                assert each.meter.try_admit(an_ask(who.project_id, 2)) is None
                assert not await call(each.meter, an_ask(who.project_id, 2), 2)
            await rules.change(who, name, amount=1000)
            assert await call(one.meter, an_ask(who.project_id, 2), 2)
            await rules.delete(who, name)
            assert other.meter.standing(an_ask(who.project_id, 2).caller, "m") == ()
    assert await rules.be_heard()
    await database.close()


async def test_a_process_that_does_not_hear_is_not_waited_for_long(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await make_rules(database_url)
    database = await open_database(database_url)
    monkeypatch.setattr(rules_module, "HEARD_SECONDS", 0.2)
    async with metering(database_url, tmp_path):
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "insert into meter_process (process_id, node, expires_at) values (7, 'stopped', now() + interval '1 hour')"
            )
        began = asyncio.get_running_loop().time()
        await Rules(database).create(who, a_rule("requests", 1))
        assert 0.2 <= asyncio.get_running_loop().time() - began < 2
    await database.close()
