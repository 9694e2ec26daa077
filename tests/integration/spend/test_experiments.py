"""The arms of an experiment, as the ledger has them, against sums of the test's own."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from skep.access import Principal
from skep.spend import ExperimentNotFoundError, Ledger
from skep.store import Database
from tests.metering import open_database, principal

CALL = b"""
insert into call (call_id, started_at, project_id, key_id, key_name, tags, model, face, stream, trace_id, attempts, estimated, outcome, holds,
    cost_nusd, input_tokens, output_tokens, ttft_us, duration_us, saved_nusd)
values (gen_random_uuid(), %(at)s, %(project)s, %(key)s, 'k', %(tags)s, 'm', %(face)s, false, '', 1, false, %(outcome)s, '{}',
    %(cost)s, 1, %(output)s, %(ttft)s, %(duration)s, %(saved)s)
"""
DUE = b"insert into rollup_due values (date_trunc('hour', %(at)s::timestamptz, 'UTC')) on conflict do nothing"
FIRST = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def who(database_url: str) -> Principal:
    return principal(database_url)


def a_call(who: Principal, arm: str | None, chance: random.Random, **more: Any) -> dict[str, Any]:
    tags = ["red"] if arm is None else ["red", f"experiment:cheaper={arm}"]
    facts = {
        "at": FIRST + timedelta(minutes=chance.randrange(100)),
        "project": who.project_id,
        "key": f"k{chance.randrange(5)}",
        "tags": tags,
        "face": "messages",
        "outcome": chance.choice(["ok", "ok", "cancelled", "server_error"]),
        "cost": chance.choice([None, chance.randrange(1000)]),
        "output": chance.randrange(50),
        "ttft": chance.choice([None, chance.randrange(10**6)]),
        "duration": chance.randrange(10**7),
        "saved": None,
    }
    return facts | more


def insert(url: str, calls: list[dict[str, Any]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select open_call_day(date '2026-03-01' + d) from generate_series(-2, 2) d")
        for each in calls:
            connection.execute(CALL, each)
            connection.execute(DUE, each)


async def test_every_number_is_that_of_the_arms_calls(database: Database, database_url: str, who: Principal) -> None:
    chance = random.Random(7)
    by_arm = {arm: [a_call(who, arm, chance) for _ in range(count)] for arm, count in (("control", 90), ("canary", 40))}
    others = [
        a_call(who, None, chance),
        a_call(who, "canary", chance, tags=["experiment:cheaper2=canary", "experiment:other=canary"]),
        a_call(who, "canary", chance, face="messages.count_tokens"),
        a_call(who, "canary", chance, at=FIRST - timedelta(minutes=1)),
        a_call(who, "canary", chance, at=FIRST + timedelta(minutes=100)),
        *(a_call(who, "canary", chance, saved=5, cost=0, output=0) for _ in range(3)),
    ]
    insert(database_url, [*by_arm["control"], *by_arm["canary"], *others])
    span = {"since": FIRST, "until": FIRST + timedelta(minutes=100)}
    found = await Ledger(database).compare(who, "cheaper", arms=["control", "canary"], **span)
    assert (found.experiment, found.since, found.until) == ("cheaper", *span.values())
    assert [arm.arm for arm in found.arms] == ["control", "canary"]
    for arm in found.arms:
        calls = by_arm[arm.arm]
        costs = [each["cost"] for each in calls if each["cost"] is not None]
        assert (arm.calls, arm.cached) == (len(calls), 3 if arm.arm == "canary" else 0)
        assert arm.keys == 5
        assert arm.failed == sum(each["outcome"] == "server_error" for each in calls)
        assert arm.priced == len(costs)
        assert arm.output_tokens == sum(each["output"] for each in calls)
        assert arm.mean_cost_nusd is not None
        assert arm.mean_cost_nusd.value == pytest.approx(statistics.mean(costs))
        half = 1.96 * statistics.stdev(costs) / len(costs) ** 0.5
        assert arm.mean_cost_nusd.high - arm.mean_cost_nusd.value == pytest.approx(half, rel=1e-4)
        for told, mean, measure in (
            (arm.duration, arm.mean_duration_ms, "duration"),
            (arm.ttft, arm.mean_ttft_ms, "ttft"),
        ):
            times = sorted(each[measure] / 1000 for each in calls if each[measure] is not None)
            assert told is not None
            assert mean is not None
            assert mean.value == pytest.approx(statistics.mean(times), abs=0.001)
            half = 1.959964 * statistics.stdev(times) / len(times) ** 0.5
            assert mean.high - mean.value == pytest.approx(half, abs=0.002)
            for percentile, share in ((told.p50_ms, 0.5), (told.p95_ms, 0.95)):
                exact = times[math.ceil(share * len(times)) - 1]
                assert exact <= percentile <= 1.19 * exact + 0.11
    assert [(each.arm, each.to) for each in found.differences] == [("canary", "control")]


async def test_a_project_sees_its_own(database: Database, database_url: str, who: Principal) -> None:
    insert(database_url, [a_call(who, "canary", random.Random(1))])
    ledger, span = Ledger(database), {"since": FIRST, "until": FIRST + timedelta(minutes=100)}
    stranger = Principal(who.project_id + 1, "others", "k", "k", "admin")
    with pytest.raises(ExperimentNotFoundError):
        await ledger.compare(stranger, "cheaper", arms=[], **span)
    (arm,) = (await ledger.compare(who, "cheaper", arms=[], **span)).arms
    assert (arm.arm, arm.calls) == ("canary", 1)
    empty = await ledger.compare(stranger, "cheaper", arms=["control", "canary"], **span)
    assert [each.calls for each in empty.arms] == [0, 0]


async def test_summed_up_or_not_it_is_the_same(database: Database, database_url: str, who: Principal) -> None:
    """While hours and days wait for their sums, with calls that come late, and with pieces of hours at both ends."""
    chance = random.Random(11)
    ledger = Ledger(database)

    def calls(count: int) -> list[dict[str, Any]]:
        minutes = (timedelta(minutes=chance.randrange(60 * 60)) for _ in range(count))
        return [
            a_call(who, chance.choice(["control", "canary"]), chance, at=FIRST - timedelta(hours=30) + late)
            for late in minutes
        ]

    since, until = FIRST - timedelta(hours=30, minutes=-7), FIRST + timedelta(hours=29, minutes=11)
    for _ in range(2):
        insert(database_url, [*calls(300), a_call(who, "canary", chance, saved=3, at=FIRST)])
        before = await ledger.compare(who, "cheaper", arms=["control", "canary"], since=since, until=until)
        assert await ledger.roll_up()
        after = await ledger.compare(who, "cheaper", arms=["control", "canary"], since=since, until=until)
        assert after == before
    with psycopg.connect(database_url) as connection:
        for table in ("call_arm", "call_arm_day"):
            row = connection.execute(f"select count(*), max(cardinality(key_ids)) from {table}".encode()).fetchone()
            assert row is not None
            assert row[0] > 2
            assert row[1] <= 5
        rolled = connection.execute(
            "select sum(calls), sum(cached), sum(cost_squares) from call_arm_day where tag = 'experiment:cheaper=canary'"
        ).fetchone()
        truth = connection.execute(
            "select count(*) filter (where saved_nusd is null), count(saved_nusd), sum(cost_nusd::numeric ^ 2) filter (where saved_nusd is null)"
            " from call where 'experiment:cheaper=canary' = any(tags) and started_at < (select max(day) + interval '1 day' from call_arm_day)"
        ).fetchone()
    assert rolled == truth
