"""What recall at 10 is, and when a search is checked for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from skep.knowledge import recall
from skep.knowledge.lexical import LexicalFilters
from skep.knowledge.metrics import RECALL_CHECKS, VECTOR_SEARCH_RECALL
from skep.knowledge.recall import RecallChecks, recall_at
from skep.knowledge.vectors import Near, Nearest, VectorQuery, Vectors
from skep.observe import Metric
from skep.store import DatabaseUnavailableError

QUERY = VectorQuery(1, [1.0], [1], 100_000, LexicalFilters(), 100)
TEN = [1 - number / 100 for number in range(10)]


@pytest.mark.parametrize(
    ("found", "exact", "expected"),
    [
        pytest.param(TEN, TEN, 1.0, id="all"),
        pytest.param([*TEN, 0.5, 0.4], TEN, 1.0, id="more than ten"),
        pytest.param([*TEN[:4], *TEN[5:], 0.5], TEN, 0.9, id="one missed"),
        pytest.param([0.1] * 10, TEN, 0.0, id="none"),
        pytest.param([], TEN, 0.0, id="nothing at all"),
        pytest.param(TEN[:3], TEN[:3], 1.0, id="no more than three exist"),
        pytest.param([*TEN[:9], TEN[9] + 5e-7], TEN, 1.0, id="an equally near one instead"),
        pytest.param([1.0] * 10, [1.0] * 3, 1.0, id="removed between the two"),
        pytest.param(TEN, [], None, id="nothing there"),
    ],
)
def test_recall(found: list[float], exact: list[float], expected: float | None) -> None:
    assert recall_at(10, found, exact) == expected


@dataclass
class Noted:
    """Metrics that a test looks at."""

    outcomes: Counter[str] = field(default_factory=Counter)
    recalls: list[float] = field(default_factory=list)

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        assert metric is RECALL_CHECKS
        self.outcomes[labels[0]] += int(amount)

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        assert metric is VECTOR_SEARCH_RECALL
        self.recalls.append(value)


class ScriptedVectors(Vectors):
    """Finds what it is told to."""

    def __init__(self, found: list[float], exact: list[float]) -> None:
        self.found, self.exact = found, exact
        self.failure: Exception | None = None
        self.asked = 0
        self.going_on = asyncio.Event()
        self.going_on.set()

    @override
    async def nearest(self, project_id: int, query: VectorQuery) -> Nearest:
        self.asked += 1
        await self.going_on.wait()
        return Nearest([Near(1, 1, 1, similarity) for similarity in self.found], "index")

    @override
    async def nearest_exactly(self, project_id: int, query: VectorQuery) -> list[Near]:
        assert query.limit == recall.DEPTH
        if self.failure is not None:
            raise self.failure
        return [Near(1, 1, 1, similarity) for similarity in self.exact]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_LOOK_SECONDS", 0.001)


async def settled(noted: Noted, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while noted.outcomes.total() < count:  # noqa: ASYNC110 -- the check has no end that others wait for
            await asyncio.sleep(0.001)


async def test_a_sampled_search_is_checked() -> None:
    noted = Noted()
    checks = RecallChecks(ScriptedVectors(TEN[1:], TEN), noted, 5, lambda: 0.0049)
    checks.consider(1, QUERY)
    await settled(noted)
    assert (noted.outcomes, noted.recalls) == ({"checked": 1}, [0.9])


@pytest.mark.parametrize(("per_thousand", "chance"), [(5, 0.005), (0, 0.0), (999, 0.9995)])
async def test_others_are_not(per_thousand: int, chance: float) -> None:
    noted, vectors = Noted(), ScriptedVectors(TEN, TEN)
    checks = RecallChecks(vectors, noted, per_thousand, lambda: chance)
    checks.consider(1, QUERY)
    await asyncio.sleep(0.02)
    assert (noted.outcomes.total(), vectors.asked) == (0, 0)


async def test_one_at_a_time() -> None:
    noted, vectors = Noted(), ScriptedVectors(TEN, TEN)
    vectors.going_on.clear()
    checks = RecallChecks(vectors, noted, 1000)
    for _ in range(3):
        checks.consider(1, QUERY)
    assert noted.outcomes == {"busy": 2}
    vectors.going_on.set()
    await settled(noted, 3)
    assert (noted.outcomes, vectors.asked) == ({"busy": 2, "checked": 1}, 1)


async def test_it_waits_for_a_moment_without_searches_and_gives_up_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    noted, vectors = Noted(), ScriptedVectors(TEN, TEN)
    checks = RecallChecks(vectors, noted, 1000)
    checks.begin_search()
    checks.consider(1, QUERY)
    await asyncio.sleep(0.02)
    assert vectors.asked == 0
    checks.end_search()
    await settled(noted)
    assert noted.outcomes == {"checked": 1}

    monkeypatch.setattr(recall, "_PATIENCE_SECONDS", 0.02)
    checks.begin_search()
    checks.consider(1, QUERY)
    await settled(noted, 2)
    assert (noted.outcomes, vectors.asked) == ({"checked": 1, "busy": 1}, 1)


async def test_what_fails_is_counted_and_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    noted, vectors = Noted(), ScriptedVectors(TEN, TEN)
    checks = RecallChecks(vectors, noted, 1000)
    vectors.failure = DatabaseUnavailableError(what="the database", where="here", reason="gone")
    checks.consider(1, QUERY)
    await settled(noted)
    monkeypatch.setattr(recall, "_PATIENCE_SECONDS", 0.02)
    vectors.going_on.clear()
    checks.consider(1, QUERY)
    await settled(noted, 2)
    vectors.going_on.set()
    vectors.failure, vectors.exact = None, []
    checks.consider(1, QUERY)
    await settled(noted, 3)
    assert (noted.outcomes, noted.recalls) == ({"failed": 2, "empty": 1}, [])


async def test_closing_ends_the_check_under_way() -> None:
    noted, vectors = Noted(), ScriptedVectors(TEN, TEN)
    vectors.going_on.clear()
    checks = RecallChecks(vectors, noted, 1000)
    await checks.close()
    checks.consider(1, QUERY)
    await asyncio.sleep(0.02)
    await checks.close()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "skep-recall-check"] == []
    assert noted.outcomes.total() == 0
