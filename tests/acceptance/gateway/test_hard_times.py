"""Clients that give up, processes that are killed and stopped, a database that goes away: through real servers, under load.

What must hold is read from the ledger and from the provider's own log of what it was asked.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psutil
import psycopg
import pytest

from skep.access import STALE_SECONDS
from skep.store import EmbeddedServer
from tests.command import SOURCE, Command
from tests.levels import by_level
from tests.metering import Ledger
from tests.scripted import Scripted, scripted

OUTPUT_TOKENS = 10
MESSAGES = [{"role": "user", "content": "hello"}]
COST_NUSD = OUTPUT_TOKENS * 1_000
SCRIPT = f"""\
prices: {{gpt-x: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}}}
otherwise: {{words: 5, latency_ms: 20-60, usage: {{input_tokens: 7, output_tokens: {OUTPUT_TOKENS}}}}}
"""
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
gateway: {{on_client_gone: {policy}}}
models:
  smart:
    retries: 0
    routes: [{{provider: fake, model: gpt-x}}]
    price: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}
"""


@dataclass(frozen=True)
class Up:
    """A running server."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.said["url"])

    def gateways(self) -> list[psutil.Process]:
        """The processes that answer."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if '"role": "http"' in " ".join(child.cmdline()):
                    found.append(child)
        return found


@contextmanager
def up(skep: Command, settings: Path, workers: int) -> Iterator[Up]:
    """`skep up` with so many processes."""
    process = subprocess.Popen(
        [*skep.line("--config", settings, "up", "--port", "0", "--workers", str(workers), "--json")],
        env={**skep.environment, "SKEP_WATCH_ENABLED": "false", "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield Up(process, json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


@contextmanager
def provider(tmp_path: Path, *, policy: str = "cancel") -> Iterator[tuple[Scripted, Path]]:
    """The provider, and settings that lead to it."""
    settings = tmp_path / "skep.yaml"
    with scripted(tmp_path / "provider", SCRIPT, "--no-fsync") as made:
        settings.write_text(SETTINGS.format(url=made.url, policy=policy))
        yield made, settings


def make_key(skep: Command, calls: int) -> str:
    """A key with a budget for so many calls."""
    budget = f"{calls * COST_NUSD / 1e9:.9f}"
    secret: str = skep("key", "create", "--name", "ci", "--budget-usd", budget, "--json").answer["key"]
    return secret


@contextmanager
def ledger_of(url: str) -> Iterator[Ledger]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield Ledger(connection)


@dataclass
class Load:
    """Clients that call again and again, and what they saw."""

    url: str
    key: str
    random: random.Random = field(default_factory=lambda: random.Random(7))
    statuses: list[tuple[float, int, str]] = field(default_factory=list)
    """When, what, and the reason of what was refused; status 0: no answer."""
    ids: list[str] = field(default_factory=list)
    given_up: int = 0

    async def one(self, client: httpx.AsyncClient, *, gives_up: float = 0.0) -> None:
        body = {"model": "smart", "messages": MESSAGES, "max_tokens": OUTPUT_TOKENS}
        calling = asyncio.create_task(client.post("/v1/chat/completions", json=body, timeout=30))
        if self.random.random() < gives_up:
            await asyncio.sleep(self.random.random() * 0.06)
            calling.cancel()
            self.given_up += 1
        (answer,) = await asyncio.gather(calling, return_exceptions=True)
        if isinstance(answer, httpx.Response):
            reason = "" if answer.status_code == 200 else answer.json()["error"]["message"]
            self.statuses.append((time.monotonic(), answer.status_code, reason))
            if answer.status_code == 200:
                self.ids.append(answer.headers["x-skep-call-id"])
        elif not isinstance(answer, asyncio.CancelledError):
            assert isinstance(answer, httpx.TransportError), answer
            self.statuses.append((time.monotonic(), 0, repr(answer)))

    async def some(self, count: int, *, gives_up: float) -> None:
        async with self.client() as client:
            for _ in range(count):
                await self.one(client, gives_up=gives_up)

    async def forever(self) -> None:
        async with self.client() as client:
            while True:
                await self.one(client)
                await asyncio.sleep(0.01)

    def client(self) -> httpx.AsyncClient:
        # Each of its own, so that all processes of the server get their share.
        return httpx.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {self.key}"})

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.forever()) for _ in range(clients)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            broken = [each for each in ended if not isinstance(each, asyncio.CancelledError)]
            assert broken == []

    def count(self, status: int, since: float = 0.0, until: float = float("inf")) -> int:
        return len([1 for at, seen, _ in self.statuses if seen == status and since <= at <= until])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("policy", ["drain", "cancel"])
def test_no_false_refusal_at_four_fifths_though_clients_give_up(
    skep_on: Command, tmp_path: Path, database_url: str, policy: str
) -> None:
    """Of a budget of which all calls together take 80 %, none is refused; with ``drain``, the ledger is right to the nano-dollar."""
    clients, each = 32, by_level(12, 50)
    calls = clients * each
    with provider(tmp_path, policy=policy) as (fake, settings):
        with up(skep_on, settings, 2) as server:
            load = Load(server.url, make_key(skep_on, calls * 100 // 80))

            async def all_of_them() -> None:
                await asyncio.gather(*(load.some(each, gives_up=0.3) for _ in range(clients)))

            asyncio.run(all_of_them())
        assert load.given_up > calls / 5
        assert {(status, reason) for _, status, reason in load.statuses} == {(200, "")}
        truth = [entry["cost_nusd"] for entry in fake.truth()]
        with ledger_of(database_url) as ledger:
            ledger.check()
            charged = ledger.one("select coalesce(sum(cost_nusd), 0)::bigint from call")
            if policy == "drain":
                assert (charged, ledger.one("select count(*) from call")) == (sum(truth), len(truth))
            assert sum(truth) <= charged <= calls * COST_NUSD


@pytest.mark.timeout(by_level(120, 400))
def test_killed_and_stopped_gateways_lose_nothing(skep_on: Command, tmp_path: Path, database_url: str) -> None:
    """Every call that reached the provider is in the ledger after all, once; reserved is never more than there is."""
    rounds, clients = by_level(3, 30), 16
    chance = random.Random(rounds)
    with provider(tmp_path) as (fake, settings):
        with up(skep_on, settings, 2) as server, ledger_of(database_url) as ledger:
            load = Load(server.url, make_key(skep_on, 400 * rounds))

            async def hard_times() -> None:
                async with load.running(clients):
                    for _ in range(rounds):
                        await asyncio.sleep(chance.uniform(0.3, 0.8))
                        stopped = await living(server)
                        stopped.suspend()
                        await asyncio.sleep(chance.uniform(0.2, 0.6))
                        ledger.check()
                        stopped.resume()
                        await asyncio.sleep(chance.uniform(0.1, 0.3))
                        (await living(server)).kill()
                        ledger.check()
                    await asyncio.sleep(0.5)

            asyncio.run(hard_times())
            assert load.count(200) > 10 * rounds
        # Whoever comes next takes over what the last ones left.
        with up(skep_on, settings, 1), ledger_of(database_url) as ledger:
            wait_until(lambda: not list((skep_on.data / "journal").glob("*.log"))[1:], 20)
        with ledger_of(database_url) as ledger:
            ledger.check()
            truth = fake.truth()
            rows = ledger.all("select call_id::text, cost_nusd, outcome from call")
            lost = [row for row in rows if row[2] == "lost"]
            assert len(truth) <= len(rows) <= len(truth) + rounds * clients
            assert len(lost) <= rounds * clients
            assert {*load.ids} <= {row[0] for row in rows}, "a call that was answered is missing"
            assert sum(row[1] for row in rows) >= sum(entry["cost_nusd"] for entry in truth)
            assert ledger.one("select sum(leased) from rule_window") == 0
        assert not list((skep_on.data / "journal").iterdir())


async def living(server: Up) -> psutil.Process:
    """One of the gateways, at random, as soon as both are there."""
    until = time.monotonic() + 20
    while len(found := server.gateways()) < 2:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
    return random.Random(len(found)).choice(found)


def wait_until(holds: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A PostgreSQL that a test may stop."""
    server = EmbeddedServer(tmp_path / "server", idle_stop_seconds=600, start_timeout_seconds=60)
    try:
        server.ensure_running()
        yield server
    finally:
        server.stop(20)


@pytest.fixture
def skep_there(own_server: EmbeddedServer, tmp_path: Path) -> Command:
    """`skep` on it."""
    folder = tmp_path / "project"
    folder.mkdir()
    told = own_server.ensure_running().conninfo()
    where = urlencode([(name, value) for name, value in told.items() if name != "dbname"])
    return Command(tmp_path / "data", folder, f"postgresql:///{told['dbname']}?{where}")


@pytest.mark.timeout(180)
def test_without_its_database_a_server_goes_on_within_its_leases(
    own_server: EmbeddedServer, skep_there: Command, tmp_path: Path
) -> None:
    away_seconds = by_level(5, 20)
    with provider(tmp_path) as (fake, settings), up(skep_there, settings, 2) as server:
        load = Load(server.url, make_key(skep_there, 100_000))
        marks: list[float] = []

        async def outage() -> None:
            async with load.running(16):
                await asyncio.sleep(3)
                await asyncio.to_thread(own_server.stop, 20)
                marks.append(time.monotonic())
                await asyncio.sleep(away_seconds)
                marks.append(time.monotonic())
                await asyncio.to_thread(own_server.ensure_running)
                until = time.monotonic() + 30
                while not load.count(200, since=time.monotonic() - 0.5) or load.count(
                    503, since=time.monotonic() - 0.5
                ):
                    assert time.monotonic() < until, load.statuses[-5:]
                    await asyncio.sleep(0.2)

        asyncio.run(outage())
        gone, back = marks
        assert load.count(200, gone, back) > 10, "calls within leases go on"
        assert {status for _, status, _ in load.statuses} <= {200, 503}
        reasons = {reason for _, status, reason in load.statuses if status == 503}
        assert all("database" in reason for reason in reasons), reasons
        url = skep_there.url or ""

        def is_whole() -> bool:
            with ledger_of(url) as ledger:
                return bool(ledger.one("select count(*) from call") >= len(fake.truth()))

        wait_until(is_whole, 20)
        with ledger_of(url) as ledger:
            truth = fake.truth()
            assert ledger.one("select count(*) from call") == len(truth)
            charged = ledger.one("select sum(cost_nusd)::bigint from call")
            assert charged == sum(entry["cost_nusd"] for entry in truth)
            assert {*load.ids} <= {str(row[0]) for row in ledger.all("select call_id from call")}


@pytest.mark.full
@pytest.mark.timeout(150)
def test_a_known_key_is_good_for_half_a_minute_without_the_database(
    own_server: EmbeddedServer, skep_there: Command, tmp_path: Path
) -> None:
    with provider(tmp_path) as (_, settings), up(skep_there, settings, 1) as server:
        headers = {"authorization": f"Bearer {make_key(skep_there, 100)}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
            assert client.get("/v1/models").status_code == 200
            asked = time.monotonic()
            own_server.stop(20)
            while time.monotonic() < asked + 20:
                assert client.get("/v1/models").status_code == 200
                time.sleep(0.5)
            # Nobody could tell by now whether it was revoked.
            wait_until(lambda: client.get("/v1/models").status_code == 503, STALE_SECONDS + 10)
            refused = client.get("/v1/models")
            assert "database" in refused.json()["error"]["message"]
            own_server.ensure_running()
            wait_until(lambda: client.get("/v1/models").status_code == 200, 30)


@pytest.mark.timeout(120)
def test_a_server_that_starts_without_its_database_says_so_and_recovers(
    own_server: EmbeddedServer, skep_there: Command, tmp_path: Path
) -> None:
    with provider(tmp_path) as (fake, settings):
        with up(skep_there, settings, 1):
            key = make_key(skep_there, 100)
        own_server.stop(20)
        with up(skep_there, settings, 2) as server:
            assert server.said["ready"] is False
            with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
                assert client.get("/healthz").status_code == 200
                ready = client.get("/readyz")
                assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
                body = {"model": "smart", "messages": MESSAGES, "max_tokens": OUTPUT_TOKENS}
                refused = client.post("/v1/chat/completions", json=body)
                assert refused.status_code == 503
                assert refused.json()["error"]["message"]
                assert fake.truth() == []
                own_server.ensure_running()
                wait_until(lambda: client.get("/readyz").status_code == 200, 20)
                wait_until(lambda: client.post("/v1/chat/completions", json=body).status_code == 200, 10)
