"""When hints are looked into, and what is looked at."""

from __future__ import annotations

import pytest

from skep.knowledge.watching import Hint, Pending
from skep.knowledge.watching.pending import MOST_PARTS, outermost, part_of

PARTS = [
    (Hint(b"", b"a.py"), "a.py"),
    (Hint(b"src/app", b"a.py", came_or_went=False), "src/app/a.py"),
    (Hint(b"src", b".gitignore", came_or_went=False), "src"),
    (Hint(b"", b".skepignore"), ""),
    (Hint(b"src", b".git"), "src"),
    (Hint(b"src", b".git", came_or_went=False), "src/.git"),
    (Hint(b"web", b"package.json"), "web"),
    (Hint(b"web", b"package.json", came_or_went=False), "web/package.json"),
    (Hint(b"", b""), ""),
    (Hint(b".git/info", b"exclude"), ""),
    (Hint(b"lib/.git/info", b"exclude"), "lib"),
    (Hint(b"lib/.git/info", b"attributes"), None),
    (Hint(b"", b"odd\xff\\"), "odd\\xff\\\\"),
]


@pytest.mark.parametrize(("hint", "part"), PARTS, ids=str)
def test_what_a_hint_speaks_of(hint: Hint, part: str | None) -> None:
    assert part_of(hint) == part


def test_parts_inside_others_are_left_out() -> None:
    assert outermost(["a/b/c", "a", "a-b", "b/c", "b/cd", "a/x"]) == ("a", "a-b", "b/c", "b/cd")
    assert outermost(["", "a", "b"]) == ("",)
    assert outermost([]) == ()


def test_a_save_is_looked_at_when_it_is_quiet() -> None:
    pending = Pending()
    assert pending.due_at is None
    for milliseconds in range(0, 10, 2):
        pending.add_hints([Hint(b"", b"a.py")], 100 + milliseconds / 1000)
    assert pending.due_at == pytest.approx(100.008 + 0.02)
    work = pending.take(100.03)
    assert (work.parts, work.since, pending.due_at) == (("a.py",), 100.0, None)


def test_what_never_becomes_quiet_is_looked_at_all_the_same() -> None:
    pending = Pending()
    for milliseconds in range(0, 1000, 10):
        pending.add_part("a.py", 100 + milliseconds / 1000)
    assert pending.due_at == pytest.approx(100.15)


def test_many_at_once_are_everything_when_it_is_quiet() -> None:
    pending = Pending()
    for number in range(MOST_PARTS + 50):
        pending.add_part(f"module{number}.py", 100.0)
    assert pending.due_at == pytest.approx(100.3)
    assert pending.take(100.3).is_whole


def test_a_path_that_changes_all_the_time_has_to_wait() -> None:
    pending, now, looks = Pending(), 1000.0, 0
    while now < 1100.0:
        pending.add_part("server.log", now)
        if pending.due_at is not None and pending.due_at <= now and pending.take(now).parts:
            looks += 1
        now += 0.05
    assert 60 <= looks <= 80, "20 at once, and one each two seconds"
    # Others do not wait for it.
    pending.add_part("server.log", now)
    pending.add_part("a.py", now)
    assert pending.due_at == pytest.approx(now + 0.02)
    assert pending.take(now + 0.02).parts == ("a.py",)
    assert pending.due_at is not None


def test_what_could_not_be_looked_at_comes_again() -> None:
    pending = Pending()
    pending.add_part("a.py", 100.0)
    work = pending.take(100.1)
    pending.add_part("b.py", 100.2)
    pending.put_back(work, 100.3)
    assert pending.take(101.0).parts == ("a.py", "b.py")
