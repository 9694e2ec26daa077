"""What searches, vectors and followers say about themselves, on a real database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from skep.access import Principal
from skep.app import Skep
from skep.errors import SkepError
from skep.knowledge import SearchRequest, recall, vectors
from skep.knowledge.embedding import EmbeddingFailedError
from skep.knowledge.storing import queries
from skep.observe import Metric
from tests.embedders import WordEmbedder
from tests.workspace import Workspace, with_embedder


@dataclass
class Noted:
    """Metrics that a test looks at."""

    sums: Counter[tuple[str, ...]] = field(default_factory=Counter)
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        self.sums[metric.name, *labels] += int(amount)

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        self.sums[metric.name, *labels] += 1
        self.values.setdefault(metric.name, []).append(value)

    def of(self, name: str) -> dict[tuple[str, ...], int]:
        return {key[1:]: count for key, count in self.sums.items() if key[0] == name}


async def lags(skep: Skep, who: Principal | None = None) -> dict[tuple[str, ...], float]:
    return {(reading.metric.name, *reading.labels): reading.value for reading in await skep.readings(who)}


async def fill(workspace: Workspace, files: int = 60) -> None:
    for number in range(files):
        workspace.write(f"n{number}.py", f"def heron_{number}():\n    heron = {number}\n")
    await workspace.index()
    await workspace.skep.knowledge.embed(asyncio.Event(), until_done=True)


async def test_searches_are_measured_by_how_they_ended(workspace: Workspace) -> None:
    noted, embedder = Noted(), WordEmbedder()
    async with with_embedder(workspace, embedder, metrics=noted) as meant:
        with pytest.raises(SkepError):
            await meant.search("before anything is indexed")
        await fill(meant, 3)
        await meant.search("heron")
        await meant.search("NoSuchThing")
        await meant.skep.knowledge.similar(meant.who, "n1.py:1", SearchRequest(query="", top_k=3))
        with pytest.raises(SkepError):
            await meant.search("  ")
        leaving = asyncio.create_task(meant.search("heron 3"))

        def leave(_: Sequence[str]) -> None:
            leaving.cancel()

        embedder.before = leave
        await asyncio.gather(leaving, return_exceptions=True)
        assert noted.of("skep_search_duration_seconds") == {
            ("search", "refused"): 2,
            ("search", "found"): 1,
            ("search", "empty"): 1,
            ("similar", "found"): 1,
            ("search", "left"): 1,
        }
        assert min(noted.values["skep_search_duration_seconds"]) > 0
        embedder.before = lambda _: None
        embedder.failure = EmbeddingFailedError(name="words@1", reason="no memory")
        await meant.search("heron 2")
        assert noted.of("skep_searches_without_meaning_total") == {(): 1}


@pytest.mark.parametrize(("exact_passages", "scan"), [(0, "index"), (20_000, "exact")])
async def test_vector_searches_are_timed_and_those_of_the_index_checked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, exact_passages: int, scan: str
) -> None:
    monkeypatch.setattr(vectors, "EXACT_PASSAGES", exact_passages)
    monkeypatch.setattr(recall, "_LOOK_SECONDS", 0.01)
    noted = Noted()
    async with with_embedder(workspace, WordEmbedder(), metrics=noted, recall_checks_per_thousand=1000) as meant:
        await fill(meant, 150)
        for number in range(3):
            await meant.search(f"heron {number}")
            await asyncio.sleep(0.2)
        async with asyncio.timeout(10):
            while scan == "index" and noted.sums["skep_recall_checks_total", "checked"] < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert noted.of("vector_search_duration_seconds") == {(scan,): 3}
    assert 0 < min(noted.values["vector_search_duration_seconds"]) < 3
    assert noted.of("skep_recall_checks_total") == ({("checked",): 3} if scan == "index" else {})
    recalls = noted.values.get("vector_search_recall", [])
    assert len(recalls) == (3 if scan == "index" else 0)
    assert all(0.9 <= value <= 1 for value in recalls)


async def test_an_index_that_misses_passages_shows_in_the_recall(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "EXACT_PASSAGES", 0)
    monkeypatch.setattr(recall, "_LOOK_SECONDS", 0.01)
    worse = queries["nearest_passages"].replace(b"limit :limit", b"limit :limit offset 4")
    assert worse != queries["nearest_passages"]
    monkeypatch.setattr(vectors, "queries", {**queries, "nearest_passages": worse})
    noted = Noted()
    async with with_embedder(workspace, WordEmbedder(), metrics=noted, recall_checks_per_thousand=1000) as meant:
        for number in range(150):
            words = " ".join(f"word{step}" for step in range(number + 1))
            meant.write(f"n{number}.md", f"# {words}\n")
        await meant.index()
        await meant.skep.knowledge.embed(asyncio.Event(), until_done=True)
        await meant.search("word0 word1")
        async with asyncio.timeout(10):
            while not noted.sums["skep_recall_checks_total", "checked"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    (found,) = noted.values["vector_search_recall"]
    assert found == pytest.approx(0.6, abs=0.11)


async def test_lags_are_those_of_the_change_log(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder()) as meant:
        name = meant.folder.name
        for number in range(3):
            meant.write(f"n{number}.py", f"def heron_{number}(): pass\n")
        await meant.index()
        await meant.execute("update change_log set changed_at = now() - make_interval(secs => 100 - seq)")
        before = await lags(meant.skep, meant.who)
        assert before["skep_collection_lag_changes", name, "embedding"] == 3
        assert before["skep_collection_lag_seconds", name, "embedding"] == pytest.approx(99, abs=5)
        assert before["skep_collection_lag_changes", name, "lexical"] == 0
        assert before["skep_freshness_lag_seconds", "lexical"] == 0

        await meant.skep.knowledge.embed(asyncio.Event(), until_done=True)
        await meant.execute("update follower set applied_seq = applied_seq - 2")
        after = await lags(meant.skep, meant.who)
        assert after["skep_collection_lag_changes", name, "embedding"] == 0
        assert after["skep_collection_lag_seconds", name, "embedding"] == 0
        assert after["skep_collection_lag_changes", name, "lexical"] == 2
        assert after["skep_collection_lag_seconds", name, "lexical"] == pytest.approx(98, abs=5)
        assert after["skep_freshness_lag_seconds", "lexical"] == pytest.approx(98, abs=5)

        await meant.execute("delete from change_log")
        unknown = await lags(meant.skep, meant.who)
        assert unknown["skep_collection_lag_changes", name, "lexical"] == 2
        assert ("skep_collection_lag_seconds", name, "lexical") not in unknown
        assert ("skep_freshness_lag_seconds", "lexical") not in unknown


async def test_names_are_told_to_keys_of_their_project_only(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    stranger = await workspace.new_principal()
    name = workspace.folder.name
    assert ("skep_collection_lag_seconds", name, "lexical") in await lags(workspace.skep, workspace.who)
    assert all(name not in key for key in await lags(workspace.skep, stranger))
    everybody = await lags(workspace.skep)
    assert all(name not in key for key in everybody)
    assert ("skep_freshness_lag_seconds", "lexical") in everybody
    assert everybody["skep_jobs", "queued"] == everybody["skep_jobs", "running"] == 0


async def test_what_other_machines_index_is_not_behind_here(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    elsewhere = replace(workspace.skep, node="elsewhere")
    assert not [key for key in await lags(elsewhere, workspace.who) if "lexical" in key]


async def test_the_slowest_watched_folder_is_told(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    assert ("skep_watch_lag_seconds",) not in await lags(workspace.skep, workspace.who)
    insert = "insert into watch (source_id, project_id, method, lag_ms) select source_id, project_id, 'events', 120 from source"
    await workspace.execute(insert)
    assert (await lags(workspace.skep, workspace.who))["skep_watch_lag_seconds",] == pytest.approx(0.12)
    await workspace.execute("update watch set seen_at = now() - interval '1 hour'")
    assert ("skep_watch_lag_seconds",) not in await lags(workspace.skep)
