"""How far behind what is searched is: read from the change log when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skep.knowledge.following import FOLLOWER_KIND
from skep.knowledge.metrics import COLLECTION_LAG_CHANGES, COLLECTION_LAG_SECONDS, FRESHNESS_LAG, WATCH_LAG
from skep.knowledge.storing import queries
from skep.knowledge.watch_status import SILENT_SECONDS
from skep.observe import Reading
from skep.store import Database

MAX_COLLECTIONS = 100
"""Collections told by name, those that are furthest behind: a page of metrics does not grow with what people index."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a follower is behind a collection."""

    collection: str
    follower: str
    changes: int
    seconds: float | None
    """Age of the oldest change it lacks; 0 when it lacks none, None when the log no longer knows."""


async def read_freshness(database: Database, *, node: str, model: str, project_id: int | None) -> list[Reading]:
    """How fresh this machine's (``node``) indexes and a model's vectors (empty: none) are.

    Of a project, with the names of its collections; of all projects together, without any, for None.
    """
    bound = {"node": node, "kind": FOLLOWER_KIND, "model": model, "project_id": project_id}
    lags = await database.fetch_all(Lag, queries["fetch_lags"], bound)
    silent = {"project_id": project_id, "silent_seconds": SILENT_SECONDS}
    watched = await database.fetch_tuples(queries["fetch_watch_lag"], silent)
    readings = lag_readings(lags, are_named=project_id is not None)
    return readings + [Reading(WATCH_LAG, lag_ms / 1000) for (lag_ms,) in watched if lag_ms is not None]


def lag_readings(lags: Sequence[Lag], *, are_named: bool) -> list[Reading]:
    """The lags as metrics. Pure."""
    readings = []
    for follower in dict.fromkeys(lag.follower for lag in lags):
        ages = [lag.seconds for lag in lags if lag.follower == follower]
        # Where one is not known, the oldest is not; to tell that of the others would claim freshness that is not there.
        known = [age for age in ages if age is not None]
        readings += [Reading(FRESHNESS_LAG, max(known), (follower,))] if len(known) == len(ages) else []
    return readings + (_named(lags) if are_named else [])


def _named(lags: Iterable[Lag]) -> list[Reading]:
    ordered = sorted(lags, key=lambda lag: (lag.seconds or 0.0, lag.changes), reverse=True)
    shown = set([*dict.fromkeys(lag.collection for lag in ordered)][:MAX_COLLECTIONS])
    readings: list[Reading] = []
    for lag in ordered:
        if lag.collection in shown:
            labels = (lag.collection, lag.follower)
            readings.append(Reading(COLLECTION_LAG_CHANGES, lag.changes, labels))
            readings += [] if lag.seconds is None else [Reading(COLLECTION_LAG_SECONDS, lag.seconds, labels)]
    return readings
