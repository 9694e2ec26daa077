from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skep.knowledge.lexical import LexicalIndex, LexicalLockedError, LexicalWriteError, LexicalWriter, is_locked
from tests.unit.knowledge.lexical_documents import found, passage

_HOLD = """
import sys, time
from pathlib import Path
from skep.knowledge.lexical import LexicalDocument, LexicalWriter
with LexicalWriter(Path(sys.argv[1]), rebuild=sys.argv[2] == "rebuild") as writer:
    text = "lost"
    writer.add([LexicalDocument(1, n, "a.py", "python", "code", 0, text, "", ()) for n in range(3)])
    if sys.argv[2] == "commit":
        writer.commit(seq=5)
    print("holding", flush=True)
    time.sleep(60)
"""

_KILLED_AGAIN_AND_AGAIN = """
import os, random, sys
from pathlib import Path
from skep.knowledge.lexical import LexicalDocument, LexicalWriter

def session(number, removed, added):
    # Nothing is as a killed process leaves it but one that ends here: threads that merge are not waited for.
    child = os.fork()
    if not child:
        writer = LexicalWriter(Path(sys.argv[1]))
        writer.acquire()
        writer.open(rebuild=False)
        for step in range(2):
            writer.remove(removed[step::2])
            writer.add([LexicalDocument(n, 0, "a.py", "python", "code", 0, "text", "", ()) for n in added[step::2]])
            writer.commit(seq=2 * number + step + 1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

chance, live, last = random.Random(int(sys.argv[2])), set(), 0
for number in range(30):
    removed = chance.sample(sorted(live), min(len(live), chance.choice((1, 2, 10))))
    added = list(range(last + 1, last + chance.choice((6, 40))))
    last = added[-1]
    session(number, removed, added)
    live = live - set(removed) | set(added)
print(*sorted(live))
"""

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet")


def _opened(folder: Path) -> LexicalIndex:
    index = LexicalIndex(folder)
    index.open()
    return index


def _killed_writer(folder: Path, how: str) -> None:
    """A process that writes the folder and is killed in the middle."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _HOLD, str(folder), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        with pytest.raises(LexicalLockedError) as caught, LexicalWriter(folder, timeout_seconds=0.05):
            pass
        assert caught.value.fields["timeout_seconds"] == 0.05
        assert is_locked(folder)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(("how", "seq", "versions"), [("add", 0, []), ("commit", 5, [1]), ("rebuild", 0, [])])
def test_a_killed_writer_leaves_the_last_commit_and_no_lock(
    tmp_path: Path, how: str, seq: int, versions: list[int]
) -> None:
    with LexicalWriter(tmp_path):
        pass
    assert not is_locked(tmp_path)
    _killed_writer(tmp_path, how)
    assert not is_locked(tmp_path)
    index = _opened(tmp_path)
    assert (index.applied_seq, sorted(set(found(index, "lost")))) == (seq, versions)
    with LexicalWriter(tmp_path) as writer:
        assert writer.applied_seq == seq
        writer.add([passage(1, "lost and replayed")])
        writer.commit(seq=6)
    index.refresh()
    assert found(index, "lost") == [1]
    assert len(list(tmp_path.glob("generation-*"))) == 1


def test_a_commit_that_was_killed_within_can_be_made_again(tmp_path: Path) -> None:
    """Killed after its files and before the file that names them: the latter is what makes a commit."""
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(number, "shared") for number in range(10)])
        writer.commit(seq=1)
        generation = tmp_path / writer.generation
    before = {file.name: file.read_bytes() for file in generation.iterdir()}
    with LexicalWriter(tmp_path) as writer:
        writer.remove([3])
        writer.commit(seq=2)
    (generation / "meta.json").write_bytes(before["meta.json"])
    for name in before.keys() - {file.name for file in generation.iterdir()}:
        (generation / name).write_bytes(before[name])
    assert list(generation.glob("*.del"))
    with LexicalWriter(tmp_path) as writer:
        assert writer.applied_seq == 1
        writer.remove([3])
        writer.commit(seq=2)
    assert found(_opened(tmp_path), "shared") == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_adding_a_version_again_replaces_it(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path) as writer:
        for seq in range(1, 4):
            writer.add([passage(1, f"turn{seq} one"), passage(1, "two", ordinal=1), passage(2, "other")])
            writer.commit(seq)
        writer.add([passage(1, "final")])
        writer.add([passage(1, "final")])
        writer.commit(seq=4)
    index = _opened(tmp_path)
    assert (found(index, "final"), found(index, "two"), found(index, "turn3")) == ([1], [], [])
    assert index.document_count == 2


def test_what_is_removed_is_not_found(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(number, f"{WORDS[number]} shared") for number in range(10)])
        writer.commit(seq=1)
        writer.remove([3, 4, 99])
        writer.commit(seq=2)
    index = _opened(tmp_path)
    assert found(index, "charlie delta shared") == [0, 1, 2, 5, 6, 7, 8, 9]
    assert found(index, "delta") == found(index, "echo") == []
    assert index.deleted_share == pytest.approx(0.2)
    assert index.term_counts("body", "delta") == {}
    assert index.term_counts("body", "shared") == {"shared": 8}


def test_removing_and_adding_in_one_commit_keeps_their_order(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(1, "gone")])
        writer.remove([1])
        writer.add([passage(2, "stays")])
        writer.commit(seq=1)
    index = _opened(tmp_path)
    assert (found(index, "gone"), found(index, "stays"), index.document_count) == ([], [2], 1)


def test_nothing_is_visible_without_a_commit(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(1, "secret")])
    assert found(_opened(tmp_path), "secret") == []


def test_a_rebuild_that_is_given_up_changes_nothing(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(1, "kept")])
        writer.commit(seq=3)
    with LexicalWriter(tmp_path, rebuild=True) as writer:
        writer.add([passage(2, "draft")])
        writer.commit(seq=4)
    index = _opened(tmp_path)
    assert (found(index, "kept"), found(index, "draft"), index.applied_seq) == ([1], [], 3)
    assert len(list(tmp_path.glob("generation-*"))) == 1


def test_a_rebuild_starts_the_count_of_deletions_anew(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(number, "text") for number in range(4)])
        writer.remove([0])
        writer.commit(seq=1)
    assert _opened(tmp_path).deleted_share == pytest.approx(0.25)
    with LexicalWriter(tmp_path, rebuild=True) as writer:
        writer.add([passage(number, "text") for number in range(1, 4)])
        writer.commit(seq=1)
        writer.publish()
        writer.publish()
    assert _opened(tmp_path).deleted_share == 0.0


def test_two_writers_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path), pytest.raises(LexicalLockedError), LexicalWriter(tmp_path):
        pass
    with LexicalWriter(tmp_path) as writer:
        assert writer.generation.startswith("generation-")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LexicalWriteError) as caught, LexicalWriter(tmp_path / "file" / "index"):
        pass
    assert caught.value.fields["reason"]


def test_a_writer_is_used_inside_its_block(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="with block"):
        LexicalWriter(tmp_path).commit(seq=1)
    with pytest.raises(RuntimeError, match=r"open\(\)"):
        _ = LexicalIndex(tmp_path).applied_seq


def test_closing_waits_for_a_commit_that_another_thread_has_begun(tmp_path: Path) -> None:
    writer = LexicalWriter(tmp_path)
    writer.acquire()
    writer.open(rebuild=False)
    writer.add([passage(number, "word " * 50) for number in range(3_000)])
    begun = threading.Event()
    failures: list[BaseException] = []

    def commit() -> None:
        begun.set()
        try:
            writer.commit(seq=9)
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion
            failures.append(error)

    committing = threading.Thread(target=commit)
    committing.start()
    begun.wait()
    time.sleep(0.002)
    writer.close()
    with LexicalWriter(tmp_path) as next_writer:
        assert next_writer.applied_seq == 9
    committing.join()
    assert failures == []


def test_a_writer_that_is_closed_stops_waiting_for_the_lock(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path):
        waiting = LexicalWriter(tmp_path, timeout_seconds=60)
        with ThreadPoolExecutor(1) as pool:
            acquired = pool.submit(waiting.acquire)
            waiting.close()
            with pytest.raises(LexicalLockedError):
                acquired.result(timeout=5)


@pytest.mark.parametrize("seed", range(2))
def test_a_removal_holds_whatever_merges_killed_writers_left_undone(tmp_path: Path, seed: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _KILLED_AGAIN_AND_AGAIN, str(tmp_path), str(seed)]
    live = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=50
    ).stdout.split()
    index = _opened(tmp_path)
    assert sorted(one.version_id for one in index.passages()) == [int(number) for number in live]
    assert index.applied_seq == 60
