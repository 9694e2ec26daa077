"""Whatever is done to a folder, after an index run the index equals one built from scratch (hypothesis looks for a way)."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from skep.access import Principal
from skep.knowledge import DocumentNotFoundError, planning
from tests.embedders import WordEmbedder
from tests.levels import by_level, level
from tests.workspace import State, Workspace, open_workspace, with_embedder

T = TypeVar("T")

FOLDERS = ("", "a", "a/b", "a/b/c", "docs", "a b")
NAMES = ("one.py", "two.md", "three.txt", "four.js", "five.h", "six.rst", "b", "ünï.go", "back\\slash.rs")
PATHS = tuple(f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in NAMES)
IGNORE_LINES = ("*.txt", "a/", "/docs/two.md", "!one.py", "b", "**/c", "*", "!a b/", "# nothing", "one.*")

LETTERS = "bcdfghjkmnpqtvwxz"
"""Words of these have no stem, no parts and no meaning: each gives exactly one term."""

WORDS_PER_QUESTION = 40

STEPS = by_level((6, 30), (80, 60), (400, 80))
"""Runs, and steps of a run, at the level of this run."""


def word(number: int) -> str:
    """A word that nothing else has; all are equally long."""
    return "zq" + "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(6))


def text_of(path: str, unique: str, size: int) -> str:
    """A file in the way of its kind, of about ``size`` passages, with the word somewhere in the middle."""
    filler = [f"value_{n} = compute(total, {n})  # of the ledger's rows" for n in range(12)]
    parts = ["\n".join(filler) for _ in range(size)]
    parts.insert(len(parts) // 2, f"# Chapter {unique}\n\ndef {unique}():\n    return 1\n")
    return "\n\n".join(f"## Part {n}\n\nfunction f{n}() {{}}\n{part}" for n, part in enumerate(parts))


class Folder:
    """The folder under test and what has ever been written to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.written: list[bytes] = []
        self.words: set[str] = set()
        self._numbers = itertools.count(1)

    def new_word(self) -> str:
        made = word(next(self._numbers))
        self.words.add(made)
        return made

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith("."))

    def folders(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_dir())

    def room_for(self, path: str) -> Path:
        """The place of a path, freed of whatever stands there or in the way."""
        target = self.root / path
        for parent in reversed(target.relative_to(self.root).parents):
            if (self.root / parent).is_file():
                (self.root / parent).unlink()
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write(self, path: str, data: bytes) -> None:
        self.room_for(path).write_bytes(data)
        self.written.append(data)


class IndexMachine(RuleBasedStateMachine):
    """The moves. Each run has a folder and a project of its own in one database."""

    run_async: ClassVar[Callable[[Coroutine[Any, Any, Any]], Any]]
    workspace: ClassVar[Workspace]
    meant: ClassVar[Workspace]
    """The same with an embedding model; searches go without, because to a model some passage is always the nearest."""
    numbers: ClassVar[itertools.count[int]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Folder(self.workspace.folder / f"run{next(self.numbers)}")
        self.who: Principal = self.run(self.workspace.new_principal())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        result: T = type(self).run_async(work)
        return result

    @rule(path=st.sampled_from(PATHS), size=st.integers(0, 4))
    def write(self, path: str, size: int) -> None:
        self.folder.write(path, text_of(path, self.folder.new_word(), size).encode())

    @rule(path=st.sampled_from(PATHS))
    def write_empty(self, path: str) -> None:
        self.folder.write(path, b"")

    @precondition(lambda self: self.folder.files())
    @rule(data=st.data())
    def edit_in_secret(self, data: st.DataObject) -> None:
        """The same size and the same modification time: only the content, and the inode's change time, tell."""
        file = data.draw(st.sampled_from(self.folder.files()))
        before, text = file.stat(), file.read_text()
        old = next((known for known in self.folder.words if known in text), None)
        if old is not None:
            file.write_text(text.replace(old, self.folder.new_word()))
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    @precondition(lambda self: self.folder.files())
    @rule(data=st.data(), copy=st.booleans(), path=st.sampled_from(PATHS))
    def rename_or_copy(self, data: st.DataObject, copy: bool, path: str) -> None:
        source = data.draw(st.sampled_from(self.folder.files()))
        stat, content = source.stat(), source.read_bytes()
        if not copy:
            source.unlink()
        target = self.folder.room_for(path)
        target.write_bytes(content)
        os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    @precondition(lambda self: self.folder.folders())
    @rule(data=st.data(), name=st.sampled_from(["moved", "docs", "a"]))
    def rename_folder(self, data: st.DataObject, name: str) -> None:
        source = data.draw(st.sampled_from(self.folder.folders()))
        target = source.with_name(name)
        if target != source:
            if target.is_dir():
                shutil.rmtree(target)
            target.unlink(missing_ok=True)
            source.rename(target)

    @precondition(lambda self: self.folder.files())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.folder.files())).unlink()

    @precondition(lambda self: self.folder.folders())
    @rule(data=st.data())
    def delete_folder(self, data: st.DataObject) -> None:
        shutil.rmtree(data.draw(st.sampled_from(self.folder.folders())))

    @precondition(lambda self: self.folder.written)
    @rule(data=st.data(), path=st.sampled_from(PATHS))
    def restore(self, data: st.DataObject, path: str) -> None:
        """What was there once comes back, there or elsewhere."""
        self.folder.write(path, data.draw(st.sampled_from(self.folder.written)))

    @precondition(lambda self: self.folder.files())
    @rule(data=st.data(), seconds=st.integers(-(10**9), 2 * 10**9))
    def touch(self, data: st.DataObject, seconds: int) -> None:
        os.utime(data.draw(st.sampled_from(self.folder.files())), (seconds, seconds))

    @rule(
        folder=st.sampled_from(FOLDERS),
        name=st.sampled_from([".gitignore", ".skepignore"]),
        lines=st.lists(st.sampled_from(IGNORE_LINES), max_size=3),
    )
    def ignore(self, folder: str, name: str, lines: list[str]) -> None:
        if (self.folder.root / folder).is_dir():
            (self.folder.root / folder / name).write_text("\n".join(lines))

    @precondition(lambda self: self.folder.folders() or self.folder.files())
    @rule(data=st.data())
    def swap_file_and_folder(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(self.folder.folders() + self.folder.files()))
        content = text_of(place.name, self.folder.new_word(), 1).encode()
        path = str(place.relative_to(self.folder.root))
        self.folder.write(path if place.is_dir() else f"{path}/inside.py", content)

    @precondition(lambda self: self.folder.files())
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Unfindable until the next run finds it on the disk again."""
        file = data.draw(st.sampled_from(self.folder.files()))
        path = str(file.relative_to(self.folder.root)).replace("\\", "\\\\")
        known = [row[1] for row in self.stored() if row[0] == "document"]
        if path in known:
            self.run(self.workspace.skep.knowledge.forget(self.who, self.folder.root.name, path))
            assert path not in self.found(file.read_text())

    @rule()
    def index(self) -> None:
        self.run(self.workspace.index(self.folder.root.name, who=self.who))
        assert self.differences() == []
        clean = self.clean()
        assert self.stored() == clean
        present = {str(row[6]) for row in clean if row[0] == "placement"}
        living = {known for known in self.folder.words if any(known in text for text in present)}
        self.assert_not_found(self.folder.words - living)
        for known in sorted(living)[:12]:
            expected = {row[1] for row in clean if row[0] == "placement" and known in str(row[6])}
            assert expected <= self.found(known)

    @precondition(lambda self: self.stored())
    @rule()
    def embed(self) -> None:
        """What is stored has its vectors then, all of it and nothing else, in this project as in those of earlier runs."""
        self.run(self.meant.skep.knowledge.embed(asyncio.Event(), until_done=True))
        assert self.run(self.meant.differences(who=self.who)) == []
        for status in self.run(self.meant.skep.knowledge.status(self.who)):
            assert [row.state for row in status.embeddings] == ["complete"]

    @precondition(lambda self: self.folder.folders() and self.stored())
    @rule(data=st.data())
    def index_part(self, data: st.DataObject) -> None:
        """What lies outside the part stays as it was, what lies inside is as from scratch."""
        part = data.draw(st.sampled_from(self.folder.folders()))
        inside = str(part.relative_to(self.folder.root)).replace("\\", "\\\\")
        before = self.stored()
        self.run(self.workspace.index(str(part.relative_to(self.workspace.folder)), who=self.who))
        after = self.stored()
        assert self.differences() == []
        assert within(after, inside, outside=True) == within(before, inside, outside=True)
        assert within(after, inside) == within(self.clean(), inside)

    def stored(self) -> State:
        name = self.folder.root.name
        rows = self.run(self.workspace.rows("select 1 from collection where project_id = %(p)s", p=self.who.project_id))
        return self.run(self.workspace.state(name, who=self.who)) if rows else []

    def clean(self) -> State:
        return self.run(self.clean_state())

    async def clean_state(self) -> State:
        stranger = await self.workspace.new_principal()
        await self.workspace.index(self.folder.root.name, who=stranger)
        return await self.workspace.state(self.folder.root.name, who=stranger)

    def differences(self) -> list[str]:
        return self.run(self.workspace.differences(who=self.who))

    def found(self, query: str) -> set[str]:
        words = [known for known in self.folder.words if known in query]
        return self.run(self.workspace.paths(words[0], who=self.who)) if words else set()

    def assert_not_found(self, words: set[str]) -> None:
        ordered = sorted(words)
        for start in range(0, len(ordered), WORDS_PER_QUESTION):
            question = " ".join(ordered[start : start + WORDS_PER_QUESTION])
            assert self.run(self.workspace.paths(question, who=self.who)) == set()


def within(state: State, path: str, *, outside: bool = False) -> State:
    """The rows of a path and below it, or all others."""
    return [row for row in state if (row[1] == path or str(row[1]).startswith(f"{path}/")) is not outside]


@pytest.mark.timeout(1800)
@pytest.mark.no_cover
def test_after_any_edits_the_index_equals_one_from_scratch(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, steps = STEPS
    # Else every file here would be too young for its stat to be believed, and all would be read every time.
    monkeypatch.setattr(planning, "RACY_NS", 10_000_000)
    with asyncio.Runner() as runner:
        opening = open_workspace(database_url, tmp_path)
        IndexMachine.run_async = runner.run
        IndexMachine.workspace = runner.run(opening.__aenter__())
        embedding = with_embedder(IndexMachine.workspace, WordEmbedder())
        IndexMachine.meant = runner.run(embedding.__aenter__())
        IndexMachine.numbers = itertools.count(1)
        try:
            run_state_machine_as_test(
                IndexMachine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    # Looking for the shortest way to a failure takes minutes.
                    phases=[Phase.generate] if level() == "default" else list(Phase),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(embedding.__aexit__(None, None, None))
            runner.run(opening.__aexit__(None, None, None))


def test_forgetting_what_is_not_there_is_said(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with open_workspace(database_url, tmp_path) as workspace:
            workspace.write("a.py", "x = 1\n")
            await workspace.index()
            with pytest.raises(DocumentNotFoundError):
                await workspace.skep.knowledge.forget(workspace.who, "project", "b.py")

    asyncio.run(work())
