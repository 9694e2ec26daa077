"""What is counted of spending: the one list."""

from __future__ import annotations

from skep.observe import Metric

ALERTS = Metric(
    name="skep_alerts_total",
    kind="counter",
    unit="alerts",
    help="Alerts of budgets and limits, by what the rule counts (cost, requests, tokens) and the percent of its amount that was passed;"
    " each is counted by one process of one machine",
    labels=("kind", "percent"),
)
WEBHOOKS = Metric(
    name="skep_alert_webhooks_total",
    kind="counter",
    unit="attempts",
    help="Attempts to send an alert's webhook, by what became of them: delivered, failed (to be tried again), given_up",
    labels=("outcome",),
)
CONTENTS = Metric(
    name="skep_call_contents_total",
    kind="counter",
    unit="calls",
    help="Calls whose request and answer were to be kept (gateway.content), by what became of that: kept, no_room (too much waited for"
    " the database), failed (the database did not take it)",
    labels=("outcome",),
)

SPEND_METRICS = (ALERTS, WEBHOOKS, CONTENTS)
