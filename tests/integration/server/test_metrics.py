"""`GET /metrics` of an application on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse

from skep.observe import open_metrics
from skep.server.application import make_application, make_opening
from skep.server.metrics import ALL_METRICS
from skep.server.opening import Opening
from skep.settings import MetricsSettings
from tests.workspace import quiet, settings_for

BASE = "http://127.0.0.1:7117"
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"


@dataclass(frozen=True)
class Served:
    """An application that is measured, and a client without a key."""

    opening: Opening
    client: httpx.AsyncClient
    home: Path

    @property
    def key(self) -> dict[str, str]:
        return {"authorization": f"Bearer {(self.home / 'data' / 'admin.key').read_text().strip()}"}

    async def index(self) -> None:
        folder = self.home / "project"
        folder.mkdir()
        (folder / "retry.py").write_text("class RetryPolicy:\n    attempts = 3\n")
        who = await self.opening.skep.local_principal()
        await self.opening.skep.knowledge.index(who, folder, report=quiet)

    async def scrape(self, headers: dict[str, str]) -> dict[str, float]:
        answer = await self.client.get("/metrics", headers=headers)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in parse(answer.text)
            for sample in family.samples
        }


@asynccontextmanager
async def served(url: str, home: Path, *, is_open: bool = False) -> AsyncIterator[Served]:
    settings = replace(settings_for(url, home / "data"), metrics=MetricsSettings(open_to_loopback=is_open))
    metrics = open_metrics(settings.metrics.backend, ALL_METRICS)
    opening = make_opening(settings, notice=lambda _: None, metrics=metrics)
    holding = asyncio.create_task(opening.hold())
    await asyncio.wait_for(opening.tried.wait(), 20)
    transport = httpx.ASGITransport(make_application(opening, settings, metrics))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=30) as client:
            yield Served(opening, client, home)
    finally:
        opening.end()
        await asyncio.wait_for(holding, 15)


async def test_a_key_reads_what_happened_and_its_own_collections(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path) as here:
        await here.index()
        for query in ("RetryPolicy", "RetryPolicy", "NoSuchThing"):
            answer = await here.client.post("/api/v1/search", json={"query": query}, headers=here.key)
            assert answer.status_code == 200
        assert (await here.client.post("/api/v1/search", json={"query": "x"})).status_code == 401
        found = await here.scrape(here.key)
        assert found["skep_http_requests_total POST /api/v1/search 200"] == 3
        assert found["skep_http_requests_total POST /api/v1/search 401"] == 1
        assert found["skep_http_request_duration_seconds_count POST /api/v1/search"] == 4
        assert found["skep_search_duration_seconds_count search found"] == 2
        assert found["skep_search_duration_seconds_count search empty"] == 1
        assert found["skep_http_requests_in_flight"] == 1, "the scrape itself"
        assert found["skep_collection_lag_changes project lexical"] == 0
        assert found["skep_freshness_lag_seconds lexical"] == 0
        assert found["skep_jobs queued"] == 0
        assert found["skep_database_up"] == 1
        assert found["vector_search_recall_count"] == 0
        assert found["skep_metrics_dropped_total"] == 0
        again = await here.scrape(here.key)
        assert again["skep_http_requests_total GET /metrics 200"] == 1


async def test_without_a_key_only_by_setting_and_then_without_names(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path) as here:
        assert (await here.client.get("/metrics")).status_code == 401
    async with served(database_url, tmp_path, is_open=True) as here:
        await here.index()
        found = await here.scrape({})
        assert found["skep_database_up"] == 1
        assert found["skep_freshness_lag_seconds lexical"] == 0
        assert not [name for name in found if "project" in name]
        assert [name for name in await here.scrape(here.key) if "project" in name]
        assert (await here.client.get("/metrics", headers={"authorization": "Bearer skep_x"})).status_code == 401
        assert (await here.client.get("/metrics", headers={"x-forwarded-for": "10.0.0.5"})).status_code == 401


async def test_without_a_database_what_was_counted_is_told_all_the_same(tmp_path: Path) -> None:
    async with served(NOBODY, tmp_path, is_open=True) as here:
        assert (await here.client.get("/readyz")).status_code == 503
        found = await here.scrape({})
        assert found["skep_http_requests_total GET /readyz 503"] == 1
        assert found["skep_database_up"] == 0
        assert not [name for name in found if "lag" in name]
        refused = await here.client.get("/metrics", headers={"authorization": "Bearer skep_x"})
        assert refused.status_code == 503
