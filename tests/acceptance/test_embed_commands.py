"""Embedding as people meet it: it begins by itself, survives everything, and is over when `skep embed` says so."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from skep.server import find_running
from tests.command import Command, write

FILES = {
    "auth.py": "def verify_credentials(user, secret):\n    return check_hash(user.digest, secret)\n",
    "area.py": "def area(radius):\n    return 3.14159 * radius ** 2\n",
}
MANY = {f"m{number}.py": f"def step_{number}(value):\n    return value + {number}\n" for number in range(300)}
_SECONDS = 40.0


@pytest.fixture
def embedding(skep_on: Command) -> Command:
    """`skep` with vectors."""
    return replace(skep_on, more={"SKEP_EMBEDDING_ENABLED": "true", "SKEP_EMBEDDING_THREADS": "1"})


def embedders(data: Path) -> list[int]:
    return [running.pid for running in find_running(data) if running.role == "embedder"]


def until(holds: Callable[[], bool], *, pause_seconds: float = 0.05) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(pause_seconds)


def embedded(skep: Command) -> tuple[int, str]:
    """How many passages the one collection has, and whether all of them are embedded."""
    (collection,) = skep("status", "--json").answer["collections"]
    (row,) = collection["embeddings"] or [{"total": 0, "state": "none"}]
    return row["total"], row["state"]


def test_an_index_run_has_its_passages_embedded(embedding: Command) -> None:
    write(embedding.folder, FILES)
    embedding("index", ".")
    assert embedding("search", "verify_credentials", "--json").answer["results"], "words are found at once"
    answer = embedding("embed", "--json").answer
    assert answer["collections"][0]["embeddings"][0]["state"] == "complete"
    until(lambda: not embedders(embedding.data))
    found = embedding("search", "login with a password", "--json").answer
    assert (found["results"][0]["path"], found["embedded_fraction"]) == ("auth.py", 1.0)
    assert embedding("verify", "--json").answer["equal"]
    assert "2 of 2 passages" in embedding("embed").out


def test_a_killed_embedder_loses_nothing(embedding: Command) -> None:
    write(embedding.folder, MANY)
    embedding("index", ".")
    until(lambda: bool(embedders(embedding.data)))
    time.sleep(1.0)
    for pid in embedders(embedding.data):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not embedders(embedding.data))
    assert embedding("embed", "--json").answer["collections"][0]["embeddings"][0]["embedded"] == len(MANY)
    assert embedding("verify", "--json").answer["equal"]


def test_a_pause_is_kept_and_down_stops_the_embedder(embedding: Command) -> None:
    write(embedding.folder, MANY)
    embedding("index", ".")
    until(lambda: bool(embedders(embedding.data)))
    stopped = embedding("down", "--json").answer
    assert [process["role"] for process in stopped["processes"]] == ["embedder"]
    assert embedders(embedding.data) == []
    embedding("embed", "--pause")
    write(embedding.folder, FILES)
    embedding("index", ".")
    assert embedders(embedding.data) == [], "nothing is to be done, so nobody is started"
    assert embedding("embed", "--resume", "--json").answer["collections"][0]["embeddings"][0]["state"] == "complete"


def test_switched_off_it_is_refused_in_words(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    assert embedders(skep_on.data) == []
    assert skep_on("embed", "--json", code=2).error["code"] == "embedding_disabled"
    assert "not both" in skep_on("embed", "--pause", "--resume", code=2).err


def test_what_a_watch_finds_is_embedded_too(embedding: Command) -> None:
    write(embedding.folder, FILES)
    embedding("index", ".")
    embedding("embed")
    until(lambda: not embedders(embedding.data))
    watching = embedding.start("watch", ".")
    try:
        write(embedding.folder, {"pond.py": "def depth(pond):\n    return pond.bottom - pond.surface\n"})
        until(lambda: embedded(embedding) == (3, "complete"), pause_seconds=0.3)
    finally:
        watching.terminate()
        watching.communicate(timeout=20)


@pytest.mark.full
@pytest.mark.timeout(400)
def test_killed_again_and_again_it_is_whole_in_the_end(embedding: Command) -> None:
    chance = random.Random(os.urandom(8))
    write(embedding.folder, MANY)
    for turn in range(20):
        names = chance.sample(sorted(MANY), 40)
        write(embedding.folder, {name: f"def turned_{turn}():\n    return {name!r}\n" for name in names})
        embedding("index", ".")
        time.sleep(chance.uniform(0.0, 2.0))
        for pid in embedders(embedding.data):
            os.kill(pid, signal.SIGKILL)
    (status,) = embedding("embed", "--json").answer["collections"]
    assert (status["embeddings"][0]["state"], status["embeddings"][0]["embedded"]) == ("complete", status["chunks"])
    assert embedding("verify", "--json").answer["equal"]
