"""Alerts on the real database: each is told once, whoever dies, and sent until it is taken."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from skep.observe import Labels, Metric
from skep.spend import Rules, Webhook
from skep.spend.alerting import Alerts
from tests.hooks import KEY, receiver
from tests.metering import Ledger, a_rule, an_ask, call, make_rules, metering, open_database

TOLD = "budget or limit nearly used up"


@dataclass
class Counted:
    """Metrics that a test can read."""

    counts: Counter[tuple[str, Labels]] = field(default_factory=Counter)

    def add(self, metric: Metric, labels: Labels = (), amount: float = 1.0) -> None:
        self.counts[metric.name, labels] += int(amount)

    def observe(self, metric: Metric, labels: Labels, value: float) -> None:
        raise AssertionError


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Ledger(connection)


async def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def lines(caplog: pytest.LogCaptureFixture, text: str = TOLD) -> list[dict[str, Any]]:
    return [record.skep_fields for record in caplog.records if record.message == text]  # type: ignore[attr-defined]


def hook(url: str) -> Webhook:
    return Webhook(url, (KEY,))


async def test_each_percent_is_told_once_by_whichever_process(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    who = await make_rules(database_url, a_rule("requests", 10, period="month"))
    counted = Counted()
    with receiver() as taker:
        options: dict[str, Any] = {"webhook": hook(taker.url), "metrics": counted}
        one, other = (
            metering(database_url, tmp_path / "a", **options),
            metering(database_url, tmp_path / "b", **options),
        )
        async with one as first, other as second:
            for number in range(10):
                opened = (first, second)[number % 2]
                assert await call(opened.meter, an_ask(who.project_id, 2), 2)
                await opened.flush()
                if number == 7:
                    await until(lambda: taker.percents() == [80])
            await until(lambda: len(taker.taken) >= 3)
            await until(lambda: counted.counts["skep_alert_webhooks_total", ("delivered",)] >= 3)
    assert [line["percent"] for line in lines(caplog)] == [80, 90, 95]
    expected: dict[tuple[str, Labels], int] = {
        ("skep_alerts_total", ("requests", str(percent))): 1 for percent in (80, 90, 95)
    }
    assert counted.counts == expected | {("skep_alert_webhooks_total", ("delivered",)): 3}
    assert sorted(taker.percents()) == [80, 90, 95]
    assert all(each.is_genuine and each.path == "/hook" for each in taker.taken)
    first_told = taker.taken[0].told
    assert first_told["type"] == "limit.threshold_passed"
    assert {**first_told["data"], "started_at": None, "resets_at": None, "rule_id": None} == {
        "project": "team",
        "rule": "requests-rule",
        "rule_id": None,
        "metric": "requests",
        "subject": "project",
        "value": "",
        "period": "month",
        "mode": "hard",
        "amount": 10,
        "percent": 80,
        "used": 8,
        "started_at": None,
        "resets_at": None,
        "used_usd": None,
        "amount_usd": None,
    }
    assert str(lines(caplog)[0]["alert"]) == taker.taken[0].webhook_id


async def test_a_call_that_passes_several_tells_each(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100))
    async with metering(database_url, tmp_path) as opened:
        assert await call(opened.meter, an_ask(who.project_id, 92), 92)
    # The process had no time to tell before it closed, and did.
    assert [(line["percent"], line["used"]) for line in lines(caplog)] == [(80, 92), (90, 92)]


async def test_a_receiver_that_fails_gets_the_same_again(
    database_url: str, tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100, alert_percents=(50,)))
    counted = Counted()
    statuses = [500, 302, 429, 200]
    noted = "select count(*) from alert where attempts = %s and due_at > now() and delivered_at is null"
    with receiver(lambda number: statuses[number - 1]) as taker:
        async with metering(database_url, tmp_path, webhook=hook(taker.url), metrics=counted) as opened:
            assert await call(opened.meter, an_ask(who.project_id, 60), 60)
            for attempt in range(1, 5):
                await until(lambda made=attempt: len(taker.taken) == made)  # type: ignore[misc]
                if attempt < 4:
                    await until(lambda made=attempt: ledger.one(noted, made) == 1)  # type: ignore[misc]
                    await until(lambda made=attempt: len(lines(caplog, "alert not delivered")) == made)  # type: ignore[misc]
                    pause = ledger.one("select extract(epoch from due_at - now())::float8 from alert")
                    assert 0.7 * 5 * 4 ** (attempt - 1) - 1 < pause < 1.2 * 5 * 4 ** (attempt - 1)
                    ledger.connection.execute("update alert set due_at = now()")
            await until(lambda: ledger.one("select count(*) from alert where delivered_at is not null") == 1)
    assert len({(each.webhook_id, each.body) for each in taker.taken}) == 1
    assert {each.path for each in taker.taken} == {"/hook"}, "a redirect was followed"
    assert [line["reason"] for line in lines(caplog, "alert not delivered")] == [
        f"it was answered by the status {status}" for status in (500, 302, 429)
    ]
    assert len(lines(caplog)) == 1
    assert counted.counts["skep_alert_webhooks_total", ("failed",)] == 3


async def test_what_a_dead_process_noticed_others_tell_and_send(
    database_url: str,
    tmp_path: Path,
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100, alert_percents=(50,)))

    async def dies(_: Alerts) -> int:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(Alerts, "tell", dies)
        async with metering(database_url, tmp_path / "a") as opened:
            assert await call(opened.meter, an_ask(who.project_id, 60), 60)
            await opened.flush()
    assert ledger.all("select is_told, due_at from alert") == [(False, None)]
    stuck = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hangs(number: int) -> int:
        if number == 1:
            loop.call_soon_threadsafe(stuck.set)
            time.sleep(1)
        return 200

    with receiver(hangs) as taker:
        # Told, claimed and under way when it dies.
        async with metering(database_url, tmp_path / "b", webhook=hook(taker.url)):
            await stuck.wait()
        assert len(lines(caplog)) == 1
        assert ledger.one("select extract(epoch from due_at - now())::float8 from alert") > 20
        ledger.connection.execute("update alert set due_at = now()")
        async with metering(database_url, tmp_path / "c", webhook=hook(taker.url)):
            await until(lambda: ledger.one("select count(*) from alert where delivered_at is not null") == 1)
    assert len({each.webhook_id for each in taker.taken}) == 1
    assert len(taker.taken) == 2
    assert len(lines(caplog)) == 1


async def test_after_three_days_it_is_given_up(
    database_url: str, tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100, alert_percents=(50,)))
    async with metering(database_url, tmp_path / "a") as opened:
        assert await call(opened.meter, an_ask(who.project_id, 60), 60)
    ledger.connection.execute("update alert set due_at = now(), noticed_at = now() - interval '73 hours'")
    async with metering(database_url, tmp_path / "b", webhook=hook("http://127.0.0.1:1/")):
        await until(lambda: lines(caplog, "alert given up"))
    assert ledger.all("select due_at, delivered_at from alert") == [(None, None)]
    assert next(record for record in caplog.records if record.message == "alert given up").levelno == logging.ERROR


async def test_calls_do_not_wait_for_a_receiver(database_url: str, tmp_path: Path) -> None:
    who = await make_rules(database_url, a_rule("requests", 1000, alert_percents=(1,)))

    def hangs(_: int) -> int:
        time.sleep(2)
        return 200

    with receiver(hangs) as taker:
        async with metering(database_url, tmp_path, webhook=hook(taker.url)) as opened:
            for _ in range(10):
                assert await call(opened.meter, an_ask(who.project_id, 2), 2)
            await until(lambda: taker.taken)
            started = time.monotonic()
            for _ in range(100):
                assert await call(opened.meter, an_ask(who.project_id, 2), 2)
            await opened.flush()
            assert time.monotonic() - started < 1.5


async def test_a_raised_amount_is_told_anew(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, ledger: Ledger
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100))
    database = await open_database(database_url)
    try:
        async with metering(database_url, tmp_path) as opened:
            assert await call(opened.meter, an_ask(who.project_id, 92), 92)
            await opened.flush()
            await Rules(database).change(who, "cost-rule", amount=200)
            assert ledger.one("select alerted from rule_window") == 46
            assert await call(opened.meter, an_ask(who.project_id, 70), 70)
            await opened.flush()
            # Lowered, and raised a little: what was told stays told.
            await Rules(database).change(who, "cost-rule", amount=190)
            await Rules(database).change(who, "cost-rule", amount=195)
            assert ledger.one("select alerted from rule_window") == 80
    finally:
        await database.close()
    assert [(line["percent"], line["amount"]) for line in lines(caplog)] == [(80, 100), (90, 100), (80, 200)]


async def test_rules_of_nothing_have_no_percents(database_url: str, tmp_path: Path, ledger: Ledger) -> None:
    names: tuple[Any, ...] = ("concurrent", "cost", "tokens")
    who = await make_rules(database_url, *(a_rule(metric, 0, mode="soft") for metric in names))
    async with metering(database_url, tmp_path) as opened:
        assert await call(opened.meter, an_ask(who.project_id, 2), 0)
        await opened.flush()
        assert ledger.one("select count(*) from call") == 1
        assert ledger.all("select rule_name from alert") == []
        assert await call(opened.meter, an_ask(who.project_id, 2), 1)
    told = ledger.all("select rule_name, count(*) from alert group by 1 order by 1")
    assert told == [("cost-rule", 3), ("tokens-rule", 3)]
    assert ledger.all("select distinct exceeded from rule_window") == [(2,)]
    assert ledger.one("select count(*) from call where exceeded[2:3] = '{0,0}'") >= 1
