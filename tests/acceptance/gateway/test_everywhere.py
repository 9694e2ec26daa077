"""What one process of a server finds out counts in the others, and is seen from each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.levels import by_level
from tests.scripted import Scripted, scripted

STRAIGHT = 25

SCRIPT = """\
rules:
  - {when: {models: [mending], contains: [break]}, then: {status: 500}}
  - {when: {models: [refused]}, then: {status: 401}}
  - {when: {models: [slipping], calls: "1"}, then: {status: 401}}
  - {when: {models: [long]}, then: {words: 100, events_per_second: 20}}
otherwise: {words: 2}
"""
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}", health_check_seconds: 1}}
  gone: {{kind: openai_compatible, base_url: "http://127.0.0.1:1/v1", health_check_seconds: 1}}
models:
  mending: {{retries: 0, routes: [{{provider: fake, model: mending}}]}}
  refused: {{retries: 0, routes: [{{provider: fake, model: refused}}]}}
  slipping: {{retries: 0, routes: [{{provider: fake, model: slipping}}]}}
  long: {{routes: [{{provider: fake, model: long}}]}}
  away: {{retries: 0, routes: [{{provider: gone, model: m}}]}}
"""


@dataclass
class Server:
    url: str
    key: str
    provider: Scripted
    skep: Command

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def ask(self, model: str, words: str = "?") -> httpx.Response:
        """Over a connection of its own: each comes to any of the processes."""
        body = {"model": model, "messages": [{"role": "user", "content": words}]}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=self.headers, timeout=30)

    def status(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/gateway/status", headers=self.headers, timeout=30)
        found: dict[str, Any] = answer.json()
        return found

    def breakers(self, route: str) -> list[str]:
        """The state of its breaker, in each process."""
        return [
            each["breaker"]["state"]
            for process in self.status()["processes"]
            for each in process["routes"]
            if each["route"] == route
        ]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, scratch_server: Any) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("two")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as database:
        skep = Command(folder / "data", folder, database)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=2) as url:
            found = Server(url, key, provider, skep)
            assert soon(lambda: len(found.status()["processes"]) == 2)
            yield found


def soon(holds: Callable[[], bool], seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while not (good := holds()) and time.monotonic() < until:
        time.sleep(0.1)
    return good


def asked(two: Server, model: str) -> int:
    return len([entry for entry in two.provider.truth() if entry["model"] == model])


def test_a_storm_in_one_process_closes_the_route_in_both(two: Server) -> None:
    codes: list[str] = []
    while (len(codes) < 3 or codes[-1] != "no_route") and len(codes) < 4 * STRAIGHT:
        codes.append(two.ask("mending", "break").json()["error"]["code"])
    # Those of both count together, whichever of them a call came to; what one of them did not know yet is a call or two.
    assert STRAIGHT <= asked(two, "mending") <= STRAIGHT + 5
    assert soon(lambda: two.breakers("fake/mending") == ["open", "open"], 5)
    before = asked(two, "mending")
    answers = [two.ask("mending") for _ in range(12)]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(503, "no_route")}
    assert all(1 <= int(answer.headers["retry-after"]) <= 15 for answer in answers)
    assert asked(two, "mending") == before
    (route,) = [each for each in two.status()["routes"] if each["route"] == "fake/mending"]
    assert (route["breaker"]["state"], route["calls"], route["failures"]) == ("open", before, before)
    out = two.skep("gateway", "status").out
    assert "route fake/mending: breaker open for another " in out
    assert " in 2 of 2 processes, " in out
    if by_level(default=False, full=True):
        # Its time over, a probe finds out that it works again, in each process for itself: calls go on until both had one.
        assert soon(
            lambda: two.ask("mending").status_code == 200 and two.breakers("fake/mending") == ["closed"] * 2, 40
        )


def test_a_key_that_is_refused_again_and_again_closes_the_route_for_long_and_once_does_not(two: Server) -> None:
    assert [two.ask("slipping").status_code for _ in range(8)] == [502, *[200] * 7]
    assert soon(lambda: two.ask("refused").json()["error"]["code"] == "no_route")
    assert soon(lambda: two.breakers("fake/refused") == ["open", "open"], 5)
    assert 3 <= asked(two, "refused") <= 5
    assert int(two.ask("refused").headers["retry-after"]) > 250


def test_health_checks_are_seen_and_close_the_routes(two: Server) -> None:
    def health() -> dict[str, Any]:
        return {each["provider"]: each for each in two.status()["providers"]}

    assert soon(lambda: [each["is_well"] for each in health().values()] == [True, False])
    assert health()["fake"]["checked_seconds_ago"] < 15
    assert soon(lambda: two.breakers("gone/m") == ["open", "open"])
    assert {two.ask("away").json()["error"]["code"] for _ in range(6)} == {"no_route"}
    out = two.skep("gateway", "status").out
    assert "provider fake (openai_compatible, " in out
    assert ": well, asked " in out
    assert ": unwell, asked " in out


def test_calls_under_way_are_seen_in_the_process_that_makes_them(two: Server) -> None:
    body = {"model": "long", "messages": [{"role": "user", "content": "?"}], "stream": True}

    def read(_: int) -> int:
        with httpx.stream(
            "POST", f"{two.url}/v1/chat/completions", json=body, headers=two.headers, timeout=30
        ) as answer:
            return len(list(answer.iter_lines()))

    def under_way() -> int:
        status = two.status()
        assert status["others_unknown"] is None
        assert status["active_calls"] == sum(process["active_calls"] for process in status["processes"])
        return int(status["active_calls"])

    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read, number) for number in range(8)]
        assert soon(lambda: under_way() == 8, 4.5)
        assert all(read.result() > 100 for read in reading)
    assert soon(lambda: under_way() == 0, 5)


@pytest.fixture
def administrator(two: Server) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {(two.skep.data / KEY_FILE).read_text().strip()}"}
    with httpx.Client(base_url=two.url, headers=headers, timeout=30) as client:
        yield client


def make_key(administrator: httpx.Client, name: str, **more: object) -> str:
    answer = administrator.post("/api/v1/keys", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def statuses(two: Server, secret: str) -> set[int]:
    """What a key gets, over so many connections that both processes are asked."""
    headers = {"authorization": f"Bearer {secret}"}
    return {httpx.get(f"{two.url}/v1/models", headers=headers, timeout=30).status_code for _ in range(16)}


def test_a_key_that_was_revoked_is_of_no_use_in_either_after_a_second(two: Server, administrator: httpx.Client) -> None:
    secret = make_key(administrator, "revoked")
    assert statuses(two, secret) == {200}
    revoked = administrator.delete("/api/v1/keys/revoked")
    assert revoked.status_code == 200, revoked.text
    time.sleep(1)
    assert statuses(two, secret) == {401}


def test_a_key_ends_and_a_secret_gives_way_in_both(two: Server, administrator: httpx.Client) -> None:
    def turned(overlap_hours: float) -> str:
        answer = administrator.post("/api/v1/keys/turned/rotate", json={"overlap_hours": overlap_hours})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["key"])

    ends = datetime.now(UTC) + timedelta(seconds=5)
    ending = make_key(administrator, "ending", expires_at=ends.isoformat())
    old = make_key(administrator, "turned")
    assert statuses(two, ending) == {200}
    new = turned(1)
    assert statuses(two, old) == statuses(two, new) == {200}
    newest = turned(0)
    time.sleep(1)
    assert statuses(two, old) == statuses(two, new) == {401}
    assert statuses(two, newest) == {200}
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()))
    assert statuses(two, ending) == {401}
