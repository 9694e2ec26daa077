"""What was written down is found again, whole, by whoever comes after."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from skep.spend import JournalUnwritableError
from skep.spend.adopting import left_journals
from skep.spend.journal import FileJournal


def begin(journal: FileJournal, call: str) -> None:
    journal.begin(call, f"B\t{call}\tbegun\n")


def end(journal: FileJournal, call: str) -> None:
    journal.end(call, f"E\t{call}\tended\n")


def drain(journal: FileJournal) -> list[str]:
    found: list[str] = []
    while (batch := journal.next_batch()) is not None:
        found += [line.split("\t")[1] for line in batch.lines.decode().splitlines()]
        journal.done(batch)
    return found


def left(folder: Path) -> list[tuple[str, str]]:
    """Kind and call of every line that is left, adopting all."""
    found = []
    for each in left_journals(folder):
        for lines in each.batches():
            found += [(line.split("\t")[0], line.split("\t")[1]) for line in lines.decode().splitlines()]
        each.remove()
    return found


def die(journal: FileJournal) -> None:
    journal.close(is_done=False)


def test_ends_are_flushed_in_order_and_once(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, 1)
    journal.start()
    for call in "abc":
        begin(journal, call)
    end(journal, "b")
    assert drain(journal) == ["b"]
    end(journal, "a")
    end(journal, "c")
    assert drain(journal) == ["a", "c"]
    assert drain(journal) == []
    assert journal.waiting_bytes == 0
    journal.close(is_done=True)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_not_done_comes_again(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, 1)
    journal.start()
    begin(journal, "a")
    end(journal, "a")
    first = journal.next_batch()
    assert first is not None
    assert journal.next_batch() == first
    journal.close(is_done=False)


def test_segments_go_when_they_are_flushed_though_calls_are_open(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, 1, segment_bytes=100)
    journal.start()
    begin(journal, "long")
    for number in range(50):
        begin(journal, str(number))
        end(journal, str(number))
    assert drain(journal) == [str(number) for number in range(50)]
    assert len(list(tmp_path.glob("*.log"))) == 1
    die(journal)
    assert left(tmp_path)[-1] == ("B", "long")
    assert [call for kind, call in left(tmp_path) if kind == "B"] == []


def test_the_living_are_left_alone_and_the_dead_adopted_once(tmp_path: Path) -> None:
    living, dead = FileJournal(tmp_path, 1), FileJournal(tmp_path, 2)
    for journal in (living, dead):
        journal.start()
        begin(journal, "open")
        begin(journal, "over")
        end(journal, "over")
    die(dead)
    assert left(tmp_path) == [("E", "over"), ("B", "open")]
    assert left(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 2
    living.close(is_done=True)


def test_half_a_line_at_the_end_is_no_line(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, 1)
    journal.start()
    begin(journal, "a")
    die(journal)
    (log,) = tmp_path.glob("*.log")
    with log.open("ab") as file:
        file.write(b"E\ta\ten")
    assert left(tmp_path) == [("B", "a")]


def test_a_disk_that_takes_half_a_line_keeps_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(tmp_path, 1)
    journal.start()
    begin(journal, "a")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
    with pytest.raises(JournalUnwritableError):
        begin(journal, "b")
    end(journal, "a")
    held = journal.next_batch()
    assert held is not None, "an end that found no room is flushed from memory"
    assert (held.lines, held.held) == (b"E\ta\tended\n", 1)
    monkeypatch.undo()
    begin(journal, "c")
    assert drain(journal) == ["a"]
    die(journal)
    assert left(tmp_path) == [("E", "a"), ("B", "c")]


def test_what_may_wait_for_the_database_is_bounded(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, 1, segment_bytes=100, most_bytes=300)
    journal.start()

    def fill() -> None:
        for number in range(100):
            begin(journal, str(number))
            end(journal, str(number))

    with pytest.raises(JournalUnwritableError, match="holds as much as it may"):
        fill()
    drain(journal)
    begin(journal, "again")
    journal.close(is_done=True)


def test_a_call_that_ends_as_it_begins_is_there_once(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, 1)
    journal.start()
    begin(journal, "a")
    journal.enter("E\tb\tended\n")
    assert drain(journal) == ["b"]
    journal.enter("E\tc\tended\n")
    die(journal)
    # What is in the ledger already does no harm there, since a call has one row.
    assert left(tmp_path) == [("E", "b"), ("E", "c"), ("B", "a")]
    with pytest.raises(JournalUnwritableError, match="stopping"):
        journal.enter("E\td\tended\n")


def test_calls_that_end_as_they_begin_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(tmp_path, 1, segment_bytes=100, most_bytes=300)
    journal.start()

    def fill() -> None:
        for number in range(100):
            journal.enter(f"E\t{number}\tended\n")

    with pytest.raises(JournalUnwritableError, match="holds as much as it may"):
        fill()
    drain(journal)
    journal.close(is_done=True)


def test_a_full_disk_does_not_fill_the_memory_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(tmp_path, 1)
    journal.start()

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    journal.enter("E\tkept\tended\n")
    with pytest.raises(JournalUnwritableError, match="could not be written"):
        journal.enter("E\trefused\tended\n")
    monkeypatch.undo()
    assert drain(journal) == ["kept"]
    journal.close(is_done=True)


def test_a_call_that_ends_as_it_begins_is_safe_where_the_journal_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FileJournal(tmp_path, 1, sync=True, soon=lambda _: None)
    journal.start()
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    journal.enter("E\ta\tended\n")
    assert len(synced) == 1
    # Written at once, not at the end of the turn, which never comes here.
    assert left_lines(tmp_path) == ["E\ta\tended\n"]
    die(journal)


def left_lines(folder: Path) -> list[str]:
    """What stands in the segments now, of a journal that lives."""
    return [line for path in sorted(folder.glob("*.log")) for line in path.read_text().splitlines(keepends=True)]


def test_a_call_that_could_not_be_made_safe_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes the line, and then says that it is not safe: the call is refused, and must not be found as lost."""
    journal = FileJournal(tmp_path, 1, sync=True)
    journal.start()
    begin(journal, "before")

    def fail(_: int) -> None:
        raise OSError(5, "I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(JournalUnwritableError):
            begin(journal, "refused")
    assert journal.open_calls == 1
    begin(journal, "after")
    end(journal, "after")
    assert len(list(tmp_path.glob("*.log"))) == 2
    die(journal)
    assert left(tmp_path) == [("E", "after"), ("B", "before")]


def test_ends_of_one_turn_leave_together_and_before_the_next_beginning(tmp_path: Path) -> None:
    at_the_end_of_the_turn: list[Callable[[], object]] = []
    journal = FileJournal(tmp_path, 7, soon=at_the_end_of_the_turn.append)
    journal.start()
    (file,) = tmp_path.glob("*.log")
    for name in "abc":
        journal.begin(name, f"B\t{name}\n")
    journal.end("a", "E\ta\n")
    journal.end("b", "E\tb\n")
    assert file.read_text() == "B\ta\nB\tb\nB\tc\n"
    assert len(at_the_end_of_the_turn) == 1
    journal.begin("d", "B\td\n")
    assert file.read_text().endswith("B\tc\nE\ta\nE\tb\nB\td\n")
    at_the_end_of_the_turn.pop()()
    journal.end("c", "E\tc\n")
    at_the_end_of_the_turn.pop()()
    assert file.read_text().endswith("B\td\nE\tc\n")
    journal.end("d", "E\td\n")
    journal.close(is_done=False)
    assert file.read_text().endswith("E\td\n")
