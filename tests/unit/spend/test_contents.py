"""Which contents are kept, how they are cut and masked, and what happens where nobody takes them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from skep.errors import UnavailableError
from skep.observe import Labels, Metric
from skep.spend import ContentKeeper, Heard, KeepsContent, Outcome, Said, keeps, new_call_id
from skep.spend.contents import kept_text, mask_json
from skep.store import Database


@pytest.mark.parametrize(
    ("setting", "outcome", "kept"),
    [
        ("nothing", "ok", False),
        ("nothing", "server_error", False),
        ("errors", "ok", False),
        ("errors", "server_error", True),
        ("errors", "cancelled", True),
        ("all", "ok", True),
        ("all", "timeout", True),
    ],
)
def test_which_calls_are_kept(setting: KeepsContent, outcome: Outcome, kept: bool) -> None:
    assert keeps(setting, outcome) is kept


def heard(data: bytes, most: int = 1000, *, piece: int = 100) -> Heard:
    found = Heard(most)
    for at in range(0, len(data), piece):
        found.add(data[at : at + piece])
    return found


def test_a_text_within_the_bound_is_kept_as_it_came() -> None:
    assert kept_text(heard('{"a": "grüße\\n\\u00e9 \\\\n"}'.encode())) == '{"a": "grüße\\n\\u00e9 \\\\n"}'
    assert kept_text(heard(b"")) == ""
    assert kept_text(heard(b"x" * 1000)) == "x" * 1000


def test_a_longer_text_is_cut_with_a_mark() -> None:
    found = heard(b"x" * 5000)
    assert kept_text(found) == "x" * 1000 + " [cut: 5000 bytes in all]"
    assert len(found.beginning) < 2000
    # Not through a character.
    assert kept_text(heard("ü".encode() * 600, 999)) == "ü" * 499 + " [cut: 1200 bytes in all]"


def test_what_a_database_does_not_take_is_replaced() -> None:
    assert kept_text(heard(b"a\0b\xff\x01")) == "a\ufffdb\ufffd\ufffd"


def test_an_attempt_takes_the_place_of_the_one_before() -> None:
    found = heard(b"x" * 5000)
    found.restart()
    found.add(b"new")
    assert (kept_text(found), found.size) == ("new", 3)


SECRETS = ("sk-abcdefgh12345678", "AIza" + "b" * 35, "skep_abcdefghijkl_geheimgeheim", "xai-abcdefgh1234")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", ["", "my key:\n", "tab\t", 'quoted "', "back\\", "\n\u2028"])
def test_secrets_in_strings_of_json_are_masked(secret: str, before: str) -> None:
    for inner in (before + secret, json.dumps({"key": before + secret})):
        masked = mask_json(json.dumps({"content": inner + "\nafter"}))
        assert secret[-8:] not in masked
        assert masked.endswith('\\nafter"}')


@pytest.mark.parametrize(
    "text", ["password=hunter22", "api_key: hunter22", '{"password": "hunter22"}', "{'secret': 'hunter22'}"]
)
def test_what_is_named_a_secret_is_masked(text: str) -> None:
    for inner in (text, json.dumps(text), json.dumps({"content": text})):
        assert "hunter22" not in mask_json(inner)


@pytest.mark.parametrize("at", range(960, 1001, 4))
def test_a_secret_at_the_cut_is_masked_as_a_whole(at: int) -> None:
    data = b" " * at + SECRETS[1].encode() + b" " * 5000
    assert "AIzab" not in kept_text(heard(data))


class Counts:
    """Metrics that remember."""

    def __init__(self) -> None:
        self.found: dict[Labels, float] = {}
        self.counted = asyncio.Event()

    def add(self, metric: Metric, labels: Labels = (), value: float = 1) -> None:
        self.found[labels] = self.found.get(labels, 0) + value
        self.counted.set()


class _AwayDatabase:
    def transaction(self) -> Any:
        raise UnavailableError


def said(size: int) -> Said:
    return Said(new_call_id(), 1, "ok", heard(b"x" * size), heard(b""))


def keeper(counts: Counts, most: int) -> ContentKeeper:
    return ContentKeeper(cast("Database", _AwayDatabase()), cast("Any", counts), most)


async def test_without_room_it_is_dropped_and_counted() -> None:
    counts = Counts()
    full = keeper(counts, 4000)
    for _ in range(10):
        full.take(said(800))
    assert full.waiting_bytes <= 4000
    assert counts.found == {("no_room",): 7}
    for _ in range(10):
        full.take(said(0))
    assert full.waiting_bytes <= 4000


async def test_without_a_database_it_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    away = keeper(counts, 1_000_000)
    for _ in range(2):
        for _ in range(3):
            away.take(said(100))
        await away.write_waiting()
    assert (away.waiting_bytes, counts.found) == (0, {("failed",): 6})
    # Not a line for each call.
    assert caplog.text.count("contents of calls not kept") == 1


async def test_taking_does_not_wait_for_writing() -> None:
    counts = Counts()
    away = keeper(counts, 1_000_000)
    task = asyncio.create_task(away.keep())
    away.take(said(100))
    assert counts.found == {}
    async with asyncio.timeout(10):
        await counts.counted.wait()
    assert counts.found == {("failed",): 1}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
