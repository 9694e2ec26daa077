"""Where calls went and what served them, as the sums have it, against the calls themselves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from skep.access import Principal
from skep.spend import Ledger, Reports
from skep.store import Database
from tests.metering import open_database, principal

CALL = b"""
insert into call (call_id, started_at, project_id, key_id, key_name, tags, model, face, stream, trace_id, provider, model_used, attempts,
    estimated, outcome, holds, tried, cost_nusd, input_tokens, cached_input_tokens, output_tokens, ttft_us, duration_us, saved_nusd, stopped,
    spared_nusd, is_remote)
values (gen_random_uuid(), %(at)s, %(project)s, %(key)s, %(key)s, '{}', %(model)s, %(face)s, %(stream)s, '', %(provider)s, 'up', %(attempts)s,
    false, %(outcome)s, '{}', %(tried)s::jsonb, %(cost)s, %(input)s, 1, %(output)s, %(ttft)s, %(duration)s, %(saved)s, %(stopped)s,
    %(spared)s, %(is_remote)s)
"""
DUE = b"insert into rollup_due values (date_trunc('hour', %(at)s::timestamptz, 'UTC')) on conflict do nothing"
FIRST = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
SINCE, UNTIL = FIRST + timedelta(minutes=7), FIRST + timedelta(hours=50, minutes=11)
FELL_BACK = (
    '[{"what": "x/up", "outcome": "timeout", "ms": 3.5}, {"what": "y/up", "outcome": "breaker_open", "ms": null}]'
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def who(database_url: str) -> Principal:
    return principal(database_url)


def a_call(who: Principal, chance: random.Random, **more: Any) -> dict[str, Any]:
    ttft = chance.choice([None, chance.randrange(10**6)])
    provider, is_remote = chance.choice([("house", False), ("away", True), ("away", True), (None, None)])
    facts = {
        "at": FIRST + timedelta(seconds=chance.randrange(52 * 3600)),
        "project": who.project_id,
        "key": chance.choice(["k1", "k2"]),
        "model": chance.choice(["m1", "m2"]),
        "face": chance.choice(["messages", "chat.completions"]),
        "stream": chance.random() < 0.5,
        "provider": provider,
        "attempts": chance.choice([1, 1, 2]),
        "outcome": chance.choice(["ok", "ok", "cancelled", "server_error"]),
        "tried": chance.choice([None, None, FELL_BACK]),
        "cost": chance.choice([None, chance.randrange(1000)]),
        "input": chance.choice([None, 10, 40_000, 300_000]),
        "output": chance.randrange(50),
        "ttft": ttft,
        "duration": (ttft or 0) + chance.randrange(10**7),
        "saved": 5 if provider is None and chance.random() < 0.5 else None,
        "stopped": chance.choice([None, None, "json"]),
        "spared": chance.choice([None, 7]),
        "is_remote": is_remote,
    }
    return facts | more


def insert(url: str, calls: list[dict[str, Any]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select open_call_day(date '2026-03-01' + d) from generate_series(0, 3) d")
        for each in calls:
            connection.execute(CALL, each)
            connection.execute(DUE, each)


def within(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in calls if SINCE <= each["at"] < UNTIL]


async def test_sums_say_what_the_calls_say(database: Database, database_url: str, who: Principal) -> None:
    chance = random.Random(17)
    reports, ledger = Reports(database), Ledger(database)
    calls = list[dict[str, Any]]()
    for count in (300, 40):
        more = [a_call(who, chance) for _ in range(count)]
        insert(database_url, more)
        calls += more
        # Before anything is summed up, with some of it, and with all.
        for _ in range(2):
            await _agree(reports, who, within(calls))
            await ledger.roll_up()
        await _agree(reports, who, within(calls))


async def _agree(reports: Reports, who: Principal, calls: list[dict[str, Any]]) -> None:
    groups = await reports.groups(who, since=SINCE, until=UNTIL)
    asked = [each for each in calls if each["provider"] and each["saved"] is None]
    weighed = [each for each in asked if each["input"] is not None and each["cost"] is not None]
    told = {
        each.name: sum(getattr(group.counts, each.name) for group in groups) for each in fields(groups[0].counts)[:-2]
    }
    assert told == told | {
        "calls": len(asked),
        "failed": sum(each["outcome"] == "server_error" for each in asked),
        "cancelled": sum(each["outcome"] == "cancelled" for each in asked),
        "retried": sum(each["attempts"] > 1 for each in asked),
        "fell_back": sum(each["tried"] is not None for each in asked),
        "stopped": sum(each["stopped"] is not None for each in asked),
        "weighed": len(weighed),
        "cost_nusd": sum(each["cost"] for each in weighed),
        "input_tokens": sum(each["input"] for each in weighed),
        "cached_input_tokens": len(weighed),
        "output_tokens": sum(each["output"] for each in weighed),
        "timed": len(asked),
        "duration_us": sum(each["duration"] for each in asked),
        "waited_us": sum(each["duration"] - each["ttft"] for each in asked if each["ttft"] is not None),
    }
    sizes = Counter({None: None, 10: 0, 40_000: 1, 300_000: 6}[each["input"]] for each in asked)
    found = Counter[int | None]()
    for group in groups:
        found[group.size] += group.counts.calls
    assert found == sizes
    assert sum(sum(group.counts.duration) for group in groups) == len(asked)
    misses = await reports.misses(who, since=SINCE, until=UNTIL)
    assert {(miss.route, miss.outcome) for miss in misses} == {("x/up", "timeout")}
    assert sum(miss.attempts for miss in misses) == sum(each["tried"] is not None for each in calls)


async def test_what_stayed_in_the_house(database: Database, database_url: str, who: Principal) -> None:
    chance = random.Random(19)
    reports, ledger = Reports(database), Ledger(database)
    calls = [a_call(who, chance) for _ in range(300)]
    insert(database_url, calls)
    looked_at = within(calls)
    for _ in range(2):
        found = await reports.privacy(who, by="key", per_day=False, since=SINCE, until=UNTIL)
        assert {line.value for line in found.lines} == {"k1", "k2"}
        for line in found.lines:
            own = [each for each in looked_at if each["key"] == line.value]
            remote, local = ([each for each in own if each["is_remote"] is left] for left in (True, False))
            kept = sum(each["saved"] is not None for each in own)
            told = (line.calls, line.remote, line.local, line.kept, line.unknown)
            assert told == (len(own), len(remote), len(local), kept, len(own) - len(remote) - len(local) - kept)
            tokens = [sum((each["input"] or 0) + each["output"] for each in some) for some in (remote, local)]
            assert [line.remote_tokens, line.local_tokens] == tokens
            assert line.stayed_share == (len(local) + kept) / (len(local) + kept + len(remote))
            assert line.stayed_token_share == tokens[1] / sum(tokens)
        by_day = (await reports.privacy(who, by="project", per_day=True, since=SINCE, until=UNTIL)).lines
        days = Counter(each["at"].replace(hour=0, minute=0, second=0) for each in looked_at)
        assert {line.day: line.calls for line in by_day} == days
        assert {line.value for line in by_day} == {"team"}
        assert await ledger.roll_up() or _
    stranger = replace(who, project_id=who.project_id + 1)
    assert (await reports.privacy(stranger, by="key", per_day=False, since=SINCE, until=UNTIL)).lines == []
    assert await reports.groups(stranger, since=SINCE, until=UNTIL) == []


async def test_what_streams_brought(database: Database, database_url: str, who: Principal) -> None:
    chance = random.Random(23)
    usual = {
        "at": FIRST + timedelta(hours=1),
        "model": "m1",
        "provider": "away",
        "saved": None,
        "stopped": None,
        "spared": None,
    }
    streams = [
        a_call(who, chance, **usual, stream=True, ttft=200_000, duration=1_200_000, outcome="ok"),
        a_call(who, chance, **usual, stream=True, ttft=400_000, duration=900_000, outcome="cancelled"),
        a_call(
            who,
            chance,
            **(usual | {"stopped": "json", "spared": 5}),
            stream=True,
            ttft=None,
            duration=600_000,
            outcome="ok",
        ),
    ]
    whole = a_call(who, chance, **usual, stream=False, ttft=None, duration=1_000_000, outcome="ok")
    insert(database_url, [*streams, whole])
    (line,) = (await Reports(database).streams(who, since=SINCE, until=UNTIL)).lines
    assert (line.model, line.calls, line.streams, line.stream_share) == ("m1", 4, 3, 0.75)
    assert (line.mean_first_ms, line.mean_stream_ms, line.mean_whole_ms) == (300, 900, 1000)
    assert line.saved_wait_seconds == 1.5
    assert (line.cancelled, line.stopped, line.spared_usd) == (1, 1, "0.000000005")
    assert line.whole is not None
    assert 1000 <= line.whole.p50_ms <= 1190
