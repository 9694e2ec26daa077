"""A machine that the network leaves alone: what it still does and for how long, that the other goes on, and that all is right when it is back."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from skep.access import STALE_SECONDS
from skep.store.silence import SILENT_SECONDS
from tests.acceptance.machines.conftest import COST_NUSD, Two, a_call
from tests.command import SOURCE
from tests.lan import Machine
from tests.serving import eventually
from tests.site import Running

pytestmark = pytest.mark.full

VALID_SECONDS = 15.0
"""How long leases may be used after the last renewal."""

ANSWER_SECONDS = 10.0
"""No answer may take longer, whatever is away; mostly it is 3 s."""

UNHARMED_SECONDS = 3.0
"""For who is not cut off, on a busy machine."""

BACK_SECONDS = 20.0

WAYS: dict[str, Callable[[Machine], None]] = {"silent": Machine.fall_silent, "unplugged": Machine.pull_cable}


@dataclass(frozen=True)
class Answered:
    """What came of one request."""

    at: float
    seconds: float
    status: int
    error: dict[str, Any]
    call_id: str


@dataclass
class Client:
    """Asks the same thing again and again."""

    client: httpx.Client
    path: str
    seen: list[Answered] = field(default_factory=list)

    def once(self) -> Answered:
        began = time.monotonic()
        if self.path.startswith("/v1"):
            answer = self.client.post(self.path, json=a_call("smart"))
        else:
            answer = self.client.get(self.path)
        told = {} if answer.is_success else answer.json()
        call_id = answer.headers.get("x-skep-call-id", "")
        took = time.monotonic() - began
        self.seen.append(Answered(began, took, answer.status_code, told.get("error", told), call_id))
        return self.seen[-1]

    def until(self, ended: threading.Event) -> None:
        while not ended.wait(0.1):
            self.once()

    def between(self, since: float, until: float = float("inf")) -> list[Answered]:
        return [each for each in self.seen if since <= each.at < until]


@contextmanager
def asking(up: Running, key: str, *paths: str) -> Iterator[list[Client]]:
    """Clients that ask all the time until the block ends."""
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        clients = [Client(stack.enter_context(up.client(key)), path) for path in paths]
        with ThreadPoolExecutor(len(clients)) as threads:
            asked = [threads.submit(client.until, ended) for client in clients]
            try:
                yield clients
            finally:
                ended.set()
            for each in asked:
                each.result()


CALLS, READY = "/v1/chat/completions", "/readyz"


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    with eventually(seconds) as waits:
        while not holds():
            assert waits()


def is_whole(two: Two) -> bool:
    """Whether every call that the provider knows of is in the ledger."""
    with two.site.ledger() as ledger:
        count = ledger.one("select count(*) from call where provider is not null")
    return bool(count >= len(two.provided()))


def check_sums(two: Two, *clients: Client) -> None:
    """Ledger, budgets and the provider say the same, and nothing is there twice or missing."""
    wait_for(lambda: is_whole(two), BACK_SECONDS)
    with two.site.ledger() as ledger:
        ledger.check()
        truth = two.provided()
        count, charged = ledger.all("select count(*), sum(cost_nusd)::bigint from call where provider is not null")[0]
        assert (count, charged) == (len(truth), sum(entry["cost_nusd"] for entry in truth))
        kept = {str(row[0]) for row in ledger.all("select call_id from call")}
    assert {each.call_id for client in clients for each in client.seen if each.status == 200 and each.call_id} <= kept


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", WAYS)
def test_it_refuses_in_time_with_the_reason_and_takes_up_again_while_the_other_goes_on(two: Two, way: str) -> None:
    key = two.make_key(f"cut-{way}", "--budget-usd", "100")
    with asking(two.one, key, CALLS, READY) as (good, good_ready), asking(two.other, key, CALLS, READY) as (cut, ready):
        wait_for(lambda: len(cut.seen) > 10 and len(good.seen) > 10, 20)
        gone = time.monotonic()
        WAYS[way](two.other.machine)
        time.sleep(STALE_SECONDS + 5)
        back = time.monotonic()
        two.other.machine.mend()
        wait_for(lambda: cut.seen[-1].status == 200 and ready.seen[-1].status == 200, BACK_SECONDS)
        took = time.monotonic() - back
        wait_for(lambda: len(cut.between(back + took)) > 10, 20)

    # The other one does not notice.
    for client in (good, good_ready):
        assert {each.status for each in client.seen} == {200}
        assert max(each.seconds for each in client.seen) < UNHARMED_SECONDS
    # It never hangs, and goes on within its leases; then it refuses, and says why and what to do.
    assert max(each.seconds for each in (*cut.seen, *ready.seen)) < ANSWER_SECONDS
    assert [each for each in cut.between(gone) if each.status == 200]
    late = cut.between(gone + VALID_SECONDS, back)
    assert {each.status for each in late} == {503}
    for each in late:
        assert "database" in each.error["message"]
        assert each.error["fix"]
    # Once it is known, who asks whether it is ready need not wait.
    unready = ready.between(gone + ANSWER_SECONDS, back - 3)
    assert {each.status for each in unready} == {503}
    assert max(each.seconds for each in unready) < 1.0
    assert all("atabase at 10.77.0.1" in each.error["detail"] and each.error["fix"] for each in unready)
    check_sums(two, cut, good)


@pytest.mark.timeout(180)
def test_a_budget_is_exact_though_one_who_holds_a_part_of_it_is_away(two: Two) -> None:
    fitting = 60
    key = two.make_key("shared", "--budget-usd", f"{fitting * COST_NUSD / 1e9:.9f}")
    before = len(two.provided())
    with two.one.client(key) as one, two.other.client(key) as other:
        clients = [Client(one, CALLS), Client(other, CALLS)]
        for client in clients:
            assert [client.once().status for _ in range(4)] == [200] * 4
        two.other.machine.fall_silent()
        # What the other holds is not to be had, and not waited for: refused is at once, and with the numbers.
        while (answer := clients[0].once()).status == 200:
            assert len(clients[0].seen) <= fitting
        assert (answer.status, answer.error["code"]) == (402, "budget_exceeded"), answer
        assert answer.seconds < UNHARMED_SECONDS
        # Of what it holds it may spend, until it has to ask.
        while (answer := clients[1].once()).status == 200:
            assert len(clients[1].seen) <= fitting
        assert answer.status in (402, 503)
        assert len(two.provided()) - before <= fitting
        two.other.machine.mend()
        wait_for(lambda: all(client.once().status == 402 for client in clients), BACK_SECONDS)
    assert len(two.provided()) - before == fitting
    check_sums(two, *clients)


_HOLDS_LOCKS = """
import asyncio, sys
from skep.store import Database, ExternalServer

async def hold():
    database = Database(ExternalServer(sys.argv[1]))
    await database.open()
    async with database.transaction() as connection:
        await connection.execute("select window_id from rule_window for update")
        await connection.execute("select pg_advisory_xact_lock(7117005)")
        print("held", flush=True)
        await asyncio.sleep(1000)

asyncio.run(hold())
"""


@pytest.mark.timeout(120)
def test_locks_of_a_machine_that_is_gone_are_gone_soon(two: Two) -> None:
    key = two.make_key("locked", "--budget-usd", "100")
    host = two.hosts[1]
    with two.one.client(key) as client:
        calls = Client(client, CALLS)
        assert calls.once().status == 200
        program = [*host.machine.enter, sys.executable, "-P", "-c", _HOLDS_LOCKS, host.skep.url or ""]
        with subprocess.Popen(
            program, stdout=subprocess.PIPE, text=True, env={**host.skep.environment, "PYTHONPATH": SOURCE}
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            gone = time.monotonic()
            host.machine.fall_silent()
            # Nothing comes into the ledger until the server takes the other for gone; calls go on within leases, or are refused in time.
            written = calls.once()
            while not is_whole(two):
                assert time.monotonic() < gone + SILENT_SECONDS + 10, "its locks are still there"
                written = calls.once()
                assert written.seconds < ANSWER_SECONDS
                time.sleep(0.2)
            holder.kill()
        wait_for(lambda: calls.once().status == 200, BACK_SECONDS)
    two.other.machine.mend()
    check_sums(two, calls)
