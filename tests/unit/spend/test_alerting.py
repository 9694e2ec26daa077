"""Alerts: what a webhook says, how it is signed, and when it is tried again."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from skep.settings import Secret, signing_keys
from skep.spend import Alert
from skep.spend.alerting import GIVE_UP_SECONDS, pause_seconds, payload
from skep.spend.webhooks import headers, request_head, status_of

ALERT = Alert(
    alert_id=UUID(int=7),
    project="team",
    rule_id=3,
    rule="month",
    metric="cost",
    subject="user",
    value="anna",
    period="month",
    mode="hard",
    amount=5_000_000_000,
    percent=80,
    used=4_000_000_001,
    started_at=datetime(2026, 11, 1, tzinfo=UTC),
    resets_at=datetime(2026, 12, 1, tzinfo=UTC),
    noticed_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
    attempts=1,
)


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of https://github.com/standard-webhooks/standard-webhooks.
    keys = signing_keys(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    said = headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330)
    assert said["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert said["webhook-timestamp"] == "1614265330"
    assert said["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_both() -> None:
    one, other = ("whsec_" + base64.b64encode(bytes([number]) * 24).decode() for number in (1, 2))
    both = headers(signing_keys(Secret(f"{one} {other}")), "m", b"{}", 1)["webhook-signature"].split(" ")
    assert both == [headers(signing_keys(Secret(each)), "m", b"{}", 1)["webhook-signature"] for each in (one, other)]


def test_a_webhook_says_what_was_passed_and_never_how_often_it_was_tried() -> None:
    told = json.loads(payload(ALERT))
    assert (told["type"], told["timestamp"]) == ("budget.threshold_passed", "2026-11-20T12:00:00+00:00")
    assert told["data"] == {
        "project": "team",
        "rule_id": 3,
        "rule": "month",
        "metric": "cost",
        "subject": "user",
        "value": "anna",
        "period": "month",
        "mode": "hard",
        "amount": 5_000_000_000,
        "percent": 80,
        "used": 4_000_000_001,
        "started_at": "2026-11-01T00:00:00+00:00",
        "resets_at": "2026-12-01T00:00:00+00:00",
        "used_usd": "4.000000001",
        "amount_usd": "5.00",
    }
    assert payload(replace(ALERT, attempts=9)) == payload(ALERT)
    limit = json.loads(payload(replace(ALERT, metric="requests", resets_at=None, period="total")))
    assert limit["type"] == "limit.threshold_passed"
    assert (limit["data"]["used_usd"], limit["data"]["resets_at"]) == (None, None)


@pytest.mark.parametrize(
    ("attempts", "age", "pause"),
    [(1, 0, 5), (2, 5, 20), (3, 30, 80), (6, 3000, 3600), (10**6, 3000, 3600), (9, GIVE_UP_SECONDS + 1, None)],
)
def test_pauses_grow_up_to_an_hour_and_end_after_three_days(attempts: int, age: float, pause: float | None) -> None:
    found = [pause_seconds(attempts, age, chance) for chance in (0.0, 0.5, 1.0)]
    assert found == ([None] * 3 if pause is None else pytest.approx([pause * 0.8, pause, pause * 1.2]))


def test_the_request_goes_to_the_address_as_it_was_written() -> None:
    assert request_head("https://[::1]:8443?a=b", {"x": "y"}) == (
        b"POST /?a=b HTTP/1.1\r\nhost: [::1]:8443\r\nconnection: close\r\nx: y\r\n\r\n"
    )
    assert request_head("http://alerts/hook%20s/", {}).startswith(b"POST /hook%20s/ HTTP/1.1\r\nhost: alerts\r\n")


@pytest.mark.parametrize("line", [b"", b"HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 2x0 OK\r\n", b"HTTP/2 200\r\n"])
def test_what_is_no_answer_has_no_status(line: bytes) -> None:
    assert status_of(b"HTTP/1.1 204 No Content\r\n") == 204
    with pytest.raises(ValueError, match="no HTTP"):
        status_of(line)
