"""`skep cost report` by each of its dimensions, as a table, CSV and JSON: every number, against what the provider's log says."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from skep.spend import usd_text
from skep.spend.ledger import DIMENSIONS
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import scripted
from tests.serving import ONLY_JOBS, eventually, starting

SCRIPT = """\
rules:
  - {when: {models: [up-broken]}, then: {status: 500}}
  - {when: {models: [up-silent]}, then: {text: Hello., usage: {told: false}}}
otherwise: {text: Hello., usage: {input_tokens: 1000, cached_input_tokens: 400, output_tokens: 50}}
"""
SETTINGS = """\
providers:
  one: {kind: openai_compatible, base_url: URL}
  two: {kind: openai_compatible, base_url: URL}
models:
  smart:
    routes: [{provider: one, model: up-smart}]
    price: {input_usd_per_mtok: 10, cached_input_usd_per_mtok: 1, output_usd_per_mtok: 20}
  cheap: {routes: [{provider: two, model: up-cheap}], price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
  free: {routes: [{provider: two, model: up-free}]}
  broken: {routes: [{provider: one, model: up-broken}], retries: 0, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
  silent: {routes: [{provider: one, model: up-silent}], price: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}}
"""
MESSAGES = [{"role": "user", "content": "hello"}]
SMART, CHEAP = 600 * 10_000 + 400 * 1_000 + 50 * 20_000, 1050 * 1_000
"""What a call costs, in nano-dollars."""


@dataclass(frozen=True)
class Made:
    """A call that was made, and what it must be in the ledger."""

    key: str
    model: str
    user: str | None
    tags: tuple[str, ...]
    stream: bool = False

    @property
    def tier(self) -> str | None:
        return "gold" if self.key == "ann" else None

    @property
    def provider(self) -> str:
        return "two" if self.model in ("cheap", "free") else "one"

    @property
    def outcome(self) -> str:
        return "server_error" if self.model == "broken" else "ok"

    @property
    def cost_nusd(self) -> int | None:
        return {"smart": SMART, "cheap": CHEAP, "free": None}.get(self.model, 0)


CALLS = (
    Made("ann", "smart", "ann", ("red", "big")),
    Made("ann", "cheap", "ann", ("red",), stream=True),
    Made("ann", "broken", "ann", ("=1+1",)),
    Made("bob", "smart", "u1", (), stream=True),
    Made("bob", "free", "u1", ("red",)),
    Made("bob", "silent", None, ("big",)),
)
VALUES: dict[str, Callable[[Made], Sequence[str | None]]] = {
    "project": lambda _: ["default"],
    "model": lambda made: [made.model],
    "key": lambda made: [made.key],
    "user": lambda made: [made.user],
    "tier": lambda made: [made.tier],
    "provider": lambda made: [made.provider],
    "outcome": lambda made: [made.outcome],
    "tag": lambda made: list(made.tags) or [None],
}
"""What the calls are told apart by."""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Command]:
    """Where `CALLS` were made and are in the ledger."""
    home = tmp_path_factory.mktemp("reported")
    with scripted(home / "provider", SCRIPT) as provider, scratch_server.database() as url:
        (home / "skep.yaml").write_text(SETTINGS.replace("URL", provider.url))
        skep = Command(home / "data", home, url)
        with starting(home / "data", SKEP_DATABASE_URL=url, **ONLY_JOBS) as run:
            up = run()
            ann = skep("key", "create", "--name", "ann", "--user", "ann", "--tier", "gold", "--json").answer["key"]
            bob = skep("key", "create", "--name", "bob", "--json").answer["key"]
            for made in CALLS:
                ask(up.url, {"ann": ann, "bob": bob}[made.key], made)
            with eventually() as waits:
                while sum(line["calls"] for line in report(skep, "project")) < len(CALLS) and waits():
                    pass
            yield skep


def ask(url: str, key: str, made: Made) -> None:
    body: dict[str, Any] = {"model": made.model, "messages": MESSAGES, "max_tokens": 50, "stream": made.stream}
    if made.user is not None:
        body["user"] = made.user
    headers = {"authorization": f"Bearer {key}"} | ({"x-skep-tags": ",".join(made.tags)} if made.tags else {})
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=30)
    assert answer.status_code == (502 if made.model == "broken" else 200), answer.text


def report(skep: Command, by: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = skep("cost", "report", "--by", by, "--since", "1h", "--format", "json").answer[
        "lines"
    ]
    return lines


def of_value(by: str) -> dict[str | None, list[Made]]:
    found: dict[str | None, list[Made]] = {}
    for made in CALLS:
        for value in VALUES[by](made):
            found.setdefault(value, []).append(made)
    return found


def test_every_dimension_is_here() -> None:
    assert set(VALUES) == set(DIMENSIONS)


@pytest.mark.parametrize("by", VALUES)
def test_json_has_every_number(reported: Command, by: str) -> None:
    expected = of_value(by)
    lines = {line["value"]: line for line in report(reported, by)}
    assert lines.keys() == expected.keys()
    costs = [line["cost_nusd"] for line in report(reported, by)]
    assert costs == sorted(costs, reverse=True), "the dearest first"
    for value, calls in expected.items():
        line = lines[value]
        told = [made for made in calls if made.model in ("smart", "cheap", "free")]
        assert line["calls"] == len(calls)
        assert line["cost_nusd"] == sum(made.cost_nusd or 0 for made in calls)
        assert line["cost_usd"] == usd_text(line["cost_nusd"])
        assert line["unpriced"] == sum(made.cost_nusd is None for made in calls)
        assert line["estimated"] == sum(made.model == "silent" for made in calls)
        assert line["failed"] == sum(made.outcome != "ok" for made in calls)
        assert line["cached_input_tokens"] == 400 * len(told)
        if len(told) == len(calls):
            assert (line["input_tokens"], line["output_tokens"]) == (1000 * len(calls), 50 * len(calls))
        assert (line["ttft"] is not None) == any(made.stream for made in calls)
        assert 0 < line["duration"]["p50_ms"] <= line["duration"]["p95_ms"] <= line["duration"]["p99_ms"]


@pytest.mark.parametrize("by", VALUES)
def test_csv_and_the_table_say_what_json_says(reported: Command, by: str) -> None:
    lines = report(reported, by)
    told = reported("cost", "report", "--by", by, "--since", "1h", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(told)))
    # A spreadsheet would reckon with a value that begins like a formula.
    assert [row["value"] for row in rows] == [
        f"'{line['value']}" if line["value"] == "=1+1" else line["value"] or "" for line in lines
    ]
    for row, line in zip(rows, lines, strict=True):
        numbers = ("calls", "unpriced", "estimated", "failed", "input_tokens", "cached_input_tokens", "output_tokens")
        assert {name: int(row[name]) for name in numbers} == {name: line[name] for name in numbers}
        assert row["cost_usd"] == line["cost_usd"]
        for what in ("ttft", "duration"):
            for share in ("p50", "p95", "p99"):
                shown = row[f"{what}_{share}_ms"]
                assert (float(shown) if shown else None) == (line[what] and line[what][f"{share}_ms"])
    table = reported("cost", "report", "--by", by, "--since", "1h").out.splitlines()
    assert table[0].split()[0] == by
    assert [row.split()[:3] for row in table[1:]] == [
        [line["value"] or "(none)", str(line["calls"]), line["cost_usd"]] for line in lines
    ]
