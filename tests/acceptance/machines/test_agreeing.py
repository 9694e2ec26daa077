"""What two machines on one database agree on: budgets, keys, kept answers, and which routes are closed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.acceptance.gateway.test_exact_budget import CALLS, ask_all
from tests.acceptance.gateway.test_storms import STRAIGHT_FAILURES
from tests.acceptance.machines.conftest import COST_NUSD, Two, a_call
from tests.serving import eventually

FITTING = 100
REVOKED_SECONDS = 1.0
"""How long a revoked key may go on working elsewhere (architecture: revocation everywhere in under a second)."""

CLEARED_SECONDS = 1.0
CLOSED_SECONDS = 2.0


@pytest.mark.timeout(120)
def test_both_together_make_exactly_as_many_calls_as_the_budget_has_room_for(two: Two) -> None:
    key = two.make_key("exact", "--budget-usd", f"{FITTING * COST_NUSD / 1e9:.9f}")
    before = len(two.site.provider.truth())

    async def storm() -> Counter[int]:
        return sum(await asyncio.gather(*(ask_all(each.url, key) for each in (two.one, two.other))), Counter())

    seen = asyncio.run(storm())
    assert seen == {200: FITTING, 402: 2 * CALLS - FITTING}
    truth = two.site.provider.truth()[before:]
    assert (len(truth), sum(entry["cost_nusd"] for entry in truth)) == (FITTING, FITTING * COST_NUSD)
    with two.site.ledger() as ledger:
        ledger.check()
        rows = ledger.all(
            "select w.used + w.leased, w.overage from rule_window w join rule r using (rule_id) where r.name ^@ 'exact-'"
        )
    assert rows == [(FITTING * COST_NUSD, 0)]


def test_a_key_that_is_revoked_on_one_machine_is_refused_on_the_other(two: Two) -> None:
    for number, (revokes, serves) in enumerate([(0, two.other), (1, two.one)]):
        key = two.make_key(f"leaver-{number}")
        with serves.client(key) as client:
            assert client.get("/v1/models").status_code == 200
            two.hosts[revokes].skep("key", "revoke", f"leaver-{number}")
            until = time.monotonic() + REVOKED_SECONDS
            while (answer := client.get("/v1/models")).status_code == httpx.codes.OK:
                assert time.monotonic() < until, "it still works"
            assert answer.status_code == httpx.codes.UNAUTHORIZED, answer.text
            assert answer.json()["error"]["message"]


def test_an_answer_that_is_cleared_on_one_machine_is_forgotten_on_the_other(two: Two) -> None:
    key, admin = two.make_key("cache"), two.admin_key
    with two.one.client(key) as one, two.other.client(key) as other, two.one.client(admin) as administrator:
        for tag, asked in (("docs", other), ("manual", one)):
            body, tagged = a_call("kept", f"what is in {tag}?"), {"x-skep-cache-tags": tag}
            found = [asked.post("/v1/chat/completions", json=body, headers=tagged) for _ in range(2)]
            assert [answer.headers["x-skep-cache"] for answer in found] == ["miss", "hit"]
            cleared = administrator.post("/api/v1/gateway/cache/clear", json={"tags": [tag]})
            assert cleared.json()["cleared"] == [f"tag:{tag}"]
            until = time.monotonic() + CLEARED_SECONDS
            while asked.post("/v1/chat/completions", json=body, headers=tagged).headers["x-skep-cache"] == "hit":
                assert time.monotonic() < until, "it is still given"


def test_a_route_that_fails_on_both_machines_is_closed_on_both(two: Two) -> None:
    key = two.make_key("breaker")
    with two.one.client(key) as one, two.other.client(key) as other:
        for number in range(4 * STRAIGHT_FAILURES):
            # The failures of both are added up: neither of them sees so many itself.
            answer = (one, other)[number % 2].post("/v1/chat/completions", json=a_call("brittle", "break"))
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                break
            assert answer.json()["error"]["code"] == "provider_failed"
        asked = len(two.site.asked("gpt-y"))
        assert STRAIGHT_FAILURES <= asked <= STRAIGHT_FAILURES + 5
        for client in (one, other):
            until = time.monotonic() + CLOSED_SECONDS
            while (answer := client.post("/v1/chat/completions", json=a_call("brittle", "break"))).status_code != 503:
                assert time.monotonic() < until
            error = answer.json()["error"]
            assert (error["code"], bool(error["fix"])) == ("no_route", True)
    with two.one.client(two.admin_key) as administrator, eventually() as waits:
        # What a machine shows of the other is as old as a second.
        while _breakers(administrator.get("/api/v1/gateway/status").json()) != ["open", "open"]:
            assert waits()


def _breakers(status: dict[str, Any]) -> list[str]:
    return [
        each["breaker"]["state"]
        for process in status["processes"]
        for each in process["routes"]
        if each["route"] == "fake/gpt-y"
    ]
