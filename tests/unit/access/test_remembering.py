"""What is remembered of keys, and how long it is believed, with a clock that stands still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skep.access import remembering
from skep.access.keys import ParsedKey, key_hmac, new_key
from skep.access.models import Principal
from skep.access.remembering import CACHE_SECONDS, Remembered
from skep.access.rows import KeyRow

PEPPER = bytes(32)


class Clock:
    """Told what time it is."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(remembering, "time", made)
    return made


@pytest.fixture
def remembered(clock: Clock) -> Remembered:
    made = Remembered()
    made.note_hearing()
    return made


def row_of(key: ParsedKey, *, previous: ParsedKey | None = None, seconds_left: float | None = None) -> KeyRow:
    before = None if previous is None else key_hmac(previous, PEPPER)
    return KeyRow(
        project_id=1,
        project_name="default",
        key_id=key.key_id,
        key_name=key.key_id,
        role="member",
        models=None,
        faces=None,
        addresses=["10.0.0.0/8"],
        user_name=None,
        tier=None,
        local_only=False,
        secret_hmac=key_hmac(key, PEPPER),
        previous_hmac=before,
        key_pepper=PEPPER,
        seconds_left=seconds_left,
        previous_seconds_left=None if previous is None else 5.0,
    )


def keep(remembered: Remembered, key: ParsedKey, asked_at: float, good_until: float = 1e9) -> Principal:
    who = row_of(key).principal
    remembered.keep(remembered.entry(key.text), asked_at, good_until, who)
    return who


def test_a_secret_is_believed_for_a_second_and_longer_while_changes_are_heard(
    remembered: Remembered, clock: Clock
) -> None:
    key = new_key()
    who = keep(remembered, key, clock.now)
    clock.now += CACHE_SECONDS
    assert remembered.recall(key.text) == who
    clock.now += 0.1
    assert remembered.recall(key.text) is None
    assert remembered.recall(key.text, within_seconds=30) == who
    remembered.note_proof(clock.now)
    assert remembered.recall(key.text) == who
    remembered.note_deafness()
    remembered.note_proof(clock.now + 10)
    clock.now += CACHE_SECONDS + 0.1
    assert remembered.recall(key.text) is None, "nothing is proved any more"


def test_a_change_takes_away_its_own_key_alone(remembered: Remembered, clock: Clock) -> None:
    kept, changed, second = new_key(), new_key(), new_key()
    second = new_key(changed.key_id)
    for key in (kept, changed, second):
        keep(remembered, key, clock.now)
    remembered.keep_rows(clock.now, [row_of(new_key(kept.key_id))])
    clock.now += 0.1
    remembered.note_change(changed.key_id)
    assert remembered.recall(kept.text) is not None
    assert [remembered.recall(key.text) for key in (changed, second)] == [None, None]


def test_an_answer_from_before_a_change_is_not_remembered(remembered: Remembered, clock: Clock) -> None:
    changed, other, ahead, asked_at = new_key(), new_key(), new_key(), clock.now
    clock.now += 0.1
    for key in (changed, ahead):
        remembered.note_change(key.key_id)
    clock.now += 0.1
    keep(remembered, changed, asked_at)
    remembered.keep_rows(asked_at, [row_of(ahead)])
    assert keep(remembered, other, asked_at) == remembered.recall(other.text)
    assert [remembered.recall(key.text) for key in (changed, ahead)] == [None, None]
    assert keep(remembered, changed, clock.now) == remembered.recall(changed.text)


def test_a_key_that_was_read_ahead_opens_at_once(remembered: Remembered, clock: Clock) -> None:
    old = new_key()
    key = new_key(old.key_id)
    remembered.keep_rows(clock.now, [row_of(key, previous=old)])
    assert remembered.recall(new_key(key.key_id).text) is None, "it is another secret"
    assert remembered.recall(key.text) == row_of(key).principal
    assert remembered.recall(key.text) == row_of(key).principal
    remembered.note_change(key.key_id)
    assert remembered.recall(key.text) is None
    remembered.keep_rows(clock.now + 1, [row_of(key, previous=old)])
    assert remembered.recall(old.text) is not None
    clock.now += 6.5
    remembered.note_proof(clock.now)
    assert remembered.recall(old.text) is None, "its time is over"


def test_a_key_that_was_read_ahead_is_believed_no_longer_than_another(remembered: Remembered, clock: Clock) -> None:
    key, over, unheard = new_key(), new_key(), new_key()
    remembered.keep_rows(clock.now, [row_of(key), row_of(over, seconds_left=0.0), row_of(unheard)])
    assert remembered.recall(over.text) is None
    clock.now += CACHE_SECONDS + 0.1
    assert remembered.recall(key.text) is None
    remembered.note_proof(clock.now)
    assert remembered.recall(key.text) is not None
    remembered.note_deafness()
    clock.now += CACHE_SECONDS + 0.1
    assert remembered.recall(unheard.text) is None
    assert remembered.recall(unheard.text, within_seconds=30) is not None, "for when the database is away"
    remembered.keep_rows(clock.now, [row_of(over)])
    remembered.note_hearing()
    assert remembered.recall(over.text) is None, "a change may have been missed"


def test_what_is_remembered_is_bounded(remembered: Remembered, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "_MOST_SECRETS", 3)
    monkeypatch.setattr(remembering, "_MOST_CHANGES", 3)
    keys = [new_key() for _ in range(5)]
    for key in keys:
        keep(remembered, key, clock.now)
    assert [remembered.recall(key.text) is not None for key in keys] == [False, False, True, True, True]
    asked_at = clock.now
    clock.now += 0.5
    for _ in range(4):
        remembered.note_change(new_key().key_id)
    assert len(remembered._changed_at) == 1
    late = replace(row_of(new_key()), key_name="late")
    key = new_key(late.key_id)
    remembered.keep(remembered.entry(key.text), asked_at, 1e9, late.principal)
    clock.now += 0.6
    remembered.note_proof(clock.now)
    assert remembered.recall(key.text) is None, "it may have been among those whose change is not remembered"
