"""Reports of where calls went and what streams brought, through a server, its command and its API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from skep.server.supervisor import KEY_FILE
from skep.spend import usd_text
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import scripted
from tests.serving import eventually

SCRIPT = """\
rules:
  - {when: {models: [broken]}, then: {status: 500}}
otherwise: {text: One word and another one., events_per_second: 40, usage: {input_tokens: 100, output_tokens: 10}}
"""
SETTINGS = """\
providers:
  house: {{kind: openai_compatible, base_url: "{url}"}}
  away: {{kind: openai_compatible, base_url: "{url}", local: false}}
models:
  inside: {{routes: [{{provider: house, model: up}}], cache_seconds: 300, price: {price}}}
  outside: {{routes: [{{provider: away, model: up}}], price: {price}}}
  dear:
    tier: best
    routes: [{{provider: away, model: large}}]
    price: {{input_usd_per_mtok: 10, output_usd_per_mtok: 20}}
    experiment: {{name: dear-or-outside, sticky_by: none, arms: {{control: {{}}, other: {{model: outside}}}}}}
  elsewhere: {{tier: best, routes: [{{provider: house, model: large}}], price: {price}}}
  tried: {{retries: 0, routes: [{{provider: away, model: broken}}, {{provider: house, model: up}}], price: {price}}}
"""
PRICE = "{input_usd_per_mtok: 1, output_usd_per_mtok: 2}"


@dataclass
class Server:
    client: httpx.Client
    skep: Command

    def ask(self, model: str, **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "How is the hive?"}], "max_tokens": 10, **more}
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("reports")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url, price=PRICE))
        with server(skep, folder / "skep.yaml", workers=1) as address:
            headers = {"authorization": f"Bearer {(skep.data / KEY_FILE).read_text().strip()}"}
            with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
                yield Server(client, skep)


def test_what_left_the_house_and_what_streams_brought(served: Server) -> None:
    since = datetime.now(UTC).isoformat()
    served.ask("inside")
    assert served.ask("inside").headers["x-skep-cache"] == "hit"
    for _ in range(2):
        served.ask("outside", stream=True)
    assert served.ask("tried").headers["x-skep-provider"] == "house"
    with eventually() as waits:
        while True:
            found = served.client.get("/api/v1/cost/privacy", params={"by": "model", "since": since}).json()
            if sum(line["calls"] for line in found["lines"]) == 5:
                break
            waits()
    lines = {line["value"]: line for line in found["lines"]}
    places = {name: (line["remote"], line["local"], line["kept"], line["unknown"]) for name, line in lines.items()}
    # What an attempt sent away has left, whoever answered then.
    assert places == {"inside": (0, 1, 1, 0), "outside": (2, 0, 0, 0), "tried": (1, 0, 0, 0)}
    assert {name: line["stayed_share"] for name, line in lines.items()} == {"inside": 1, "outside": 0, "tried": 0}
    assert (lines["outside"]["remote_tokens"], lines["outside"]["remote_cost_usd"]) == (220, "0.00024")
    told = served.skep("cost", "privacy", "--by", "model", "--since", since, "--json").answer
    assert told["lines"] == found["lines"]
    table = served.skep("cost", "privacy", "--per", "day", "--since", since).out.splitlines()
    assert table[1].split()[2:9] == ["5", "40.0", "%", "1", "1", "3", "0"]
    csv = served.client.get("/api/v1/cost/privacy", params={"format": "csv", "by": "model", "since": since})
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text == served.skep("cost", "privacy", "--by", "model", "--since", since, "--format", "csv").out
    assert csv.text.splitlines()[0].startswith("day,value,calls,remote,local,kept,unknown,stayed_share")

    streams = served.client.get("/api/v1/cost/streams", params={"since": since}).json()["lines"]
    line = next(each for each in streams if each["model"] == "outside")
    assert (line["calls"], line["streams"], line["stream_share"], line["cancelled"]) == (2, 2, 1, 0)
    # Five pieces come 25 ms after each other.
    assert line["saved_wait_seconds"] >= 0.15
    assert line["mean_stream_ms"] > line["mean_first_ms"] > 0
    assert line["mean_stream_ms"] - line["mean_first_ms"] == pytest.approx(500 * line["saved_wait_seconds"], abs=1)
    assert served.skep("cost", "streams", "--since", since, "--json").answer["lines"] == streams
    assert "outside" in served.skep("cost", "streams").out


def test_what_would_have_been_cheaper(served: Server) -> None:
    arms = [served.ask("dear").headers["x-skep-experiment"] for _ in range(80)]
    dear = arms.count("dear-or-outside=control")
    with eventually() as waits:
        while True:
            found = served.client.get("/api/v1/gateway/advice").json()
            groups = {group["model"]: group for group in found["groups"]}
            if "dear" in groups and groups["dear"]["calls"] == dear and groups["outside"]["calls"] >= 80 - dear:
                break
            waits()
    group = groups["dear"]
    assert (group["tier"], group["face"], group["stayed"], group["weighed"]) == (
        "best",
        "chat.completions",
        False,
        dear,
    )
    assert (group["mean_input_tokens"], group["mean_output_tokens"], group["routes_used"]) == (100, 10, ["away/large"])
    options = {option["model"]: option for option in group["models"]}
    outside = options["outside"]
    assert outside["saves_share"] == pytest.approx(0.9)
    assert outside["cost_usd"] == usd_text(dear * 120_000)
    # So few calls do not show it, though none has failed.
    assert (outside["evidence"], outside["verdict"], outside["calls"]) == ("experiment", "try", 80 - dear)
    assert outside["difference"]["value"] == 0
    (route,) = group["routes"]
    assert (route["route"], route["relation"], route["attempts"], route["verdict"]) == (
        "house/large",
        "same model",
        0,
        "try",
    )
    assert found["limits"]
    shown = served.skep("gateway", "advice").out
    assert "model outside: " in shown
    assert "route house/large (same model): " in shown
    told = served.skep("gateway", "advice", "--json").answer["groups"]
    assert {group["model"] for group in told} == groups.keys()
