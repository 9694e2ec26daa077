"""Alerts: told once in the log and the metrics of one process, and sent as a webhook until that is taken.

They are rows that came with the charge that caused them (`flush_stage`), so whoever noticed may die at any moment. Telling claims them
by a lock until the line is in the log. Sending takes longer than a transaction should: there the claim is a time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import asdict
from typing import Any

import orjson
from psycopg.rows import class_row

from skep.observe import LOG_LAG_SECONDS, Metrics, event
from skep.spend.database_bank import queries
from skep.spend.metrics import ALERTS, WEBHOOKS
from skep.spend.models import Alert
from skep.spend.money import usd_text
from skep.spend.webhooks import SEND_SECONDS, Webhook, WebhookFailedError
from skep.store import Database

HOLD_SECONDS = 3 * SEND_SECONDS
"""So long a webhook belongs to the process that claimed it."""

GIVE_UP_SECONDS = 3 * 86_400.0
"""A receiver that is away for longer finds its alerts in the log."""

_FIRST_PAUSE_SECONDS = 5.0
_PAUSE_GROWTH = 4.0
_LONGEST_PAUSE_SECONDS = 3600.0
_MOST_TOLD = 100
_MOST_SENT = 8
"""At once; each has a connection of its own."""

_random = random.Random()  # noqa: S311 -- spreads attempts

_log = logging.getLogger(__name__)


class Alerts:
    """What a process does about alerts, whoever noticed them."""

    def __init__(self, database: Database, webhook: Webhook | None, metrics: Metrics) -> None:
        self._database = database
        self._webhook = webhook
        self._metrics = metrics

    async def tell(self) -> int:
        """Tell those that nobody has told, in the log and the metrics; how many there were. Raises an UnavailableError."""
        told = 0
        while alerts := await self._tell_some():
            told += len(alerts)
        return told

    async def _tell_some(self) -> list[Alert]:
        bound = {"limit": _MOST_TOLD, "has_webhook": self._webhook is not None}
        async with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(Alert)) as cursor,
        ):
            await cursor.execute(queries["tell_alerts"], bound)
            alerts = sorted(await cursor.fetchall(), key=lambda alert: (alert.noticed_at, alert.rule_id, alert.percent))
            for alert in alerts:
                _log_alert(alert)
            ending = await _wait_until_written() if alerts else None
        for alert in alerts:
            self._metrics.add(ALERTS, (alert.metric, str(alert.percent)))
        if ending is not None:
            raise ending
        return alerts

    async def deliver(self) -> None:
        """Send the webhooks that are due. Raises an UnavailableError."""
        if self._webhook is None:
            return
        bound = {"limit": _MOST_SENT, "hold_seconds": HOLD_SECONDS}
        while alerts := await self._database.fetch_all(Alert, queries["claim_webhooks"], bound):
            await asyncio.gather(*(self._send(self._webhook, alert) for alert in alerts))

    async def _send(self, webhook: Webhook, alert: Alert) -> None:
        now = time.time()
        try:
            await webhook.send(str(alert.alert_id), payload(alert), int(now))
        except WebhookFailedError as error:
            pause = pause_seconds(alert.attempts, now - alert.noticed_at.timestamp(), _random.random())
            bound = {"alert_id": alert.alert_id, "pause_seconds": pause}
            await self._database.execute(queries["note_undelivered"], bound)
            self._note_failure(alert, str(error), pause)
        else:
            await self._database.execute(queries["note_delivered"], {"alert_id": alert.alert_id})
            self._metrics.add(WEBHOOKS, ("delivered",))
            event(_log, logging.INFO, "alert delivered", alert=alert.alert_id, attempts=alert.attempts)

    def _note_failure(self, alert: Alert, reason: str, pause: float | None) -> None:
        is_over = pause is None
        self._metrics.add(WEBHOOKS, ("given_up" if is_over else "failed",))
        event(
            _log,
            logging.ERROR if is_over else logging.WARNING,
            "alert given up" if is_over else "alert not delivered",
            alert=alert.alert_id,
            rule=alert.rule,
            attempts=alert.attempts,
            reason=reason,
            again_in_seconds=None if pause is None else round(pause),
        )


async def _wait_until_written() -> asyncio.CancelledError | None:
    """Nobody waits for these rows, and should this process be killed before the lines are written, another one tells them.

    Whoever cancels it ends in an orderly way and writes them: told twice they would be if the transaction broke off now.
    """
    try:
        await asyncio.sleep(LOG_LAG_SECONDS)
    except asyncio.CancelledError as ending:
        return ending
    return None


def _log_alert(alert: Alert) -> None:
    event(
        _log,
        logging.WARNING,
        "budget or limit nearly used up",
        alert=alert.alert_id,
        project=alert.project,
        rule=alert.rule,
        rule_id=alert.rule_id,
        metric=alert.metric,
        subject=alert.subject,
        value=alert.value or None,
        mode=alert.mode,
        percent=alert.percent,
        used=alert.used,
        amount=alert.amount,
        resets_at=None if alert.resets_at is None else alert.resets_at.isoformat(),
    )


def payload(alert: Alert) -> bytes:
    """The body of an alert's webhook; the same at each attempt."""
    data: dict[str, Any] = asdict(alert)
    for unsent in ("alert_id", "noticed_at", "attempts"):
        del data[unsent]
    is_money = alert.metric == "cost"
    data["used_usd"] = usd_text(alert.used) if is_money else None
    data["amount_usd"] = usd_text(alert.amount) if is_money else None
    kind = "budget" if is_money else "limit"
    return orjson.dumps({"type": f"{kind}.threshold_passed", "timestamp": alert.noticed_at, "data": data})


def pause_seconds(attempts: int, age_seconds: float, chance: float) -> float | None:
    """How long to wait after so many attempts, for an alert of this age; None: it is given up. ``chance`` lies between 0 and 1."""
    if age_seconds > GIVE_UP_SECONDS:
        return None
    usual = min(_FIRST_PAUSE_SECONDS * _PAUSE_GROWTH ** min(attempts - 1, 10), _LONGEST_PAUSE_SECONDS)
    return usual * (0.8 + 0.4 * chance)
