from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from skep.knowledge.lexical import (
    LexicalDamagedError,
    LexicalFilters,
    LexicalIndex,
    LexicalIndexError,
    LexicalMissingError,
    LexicalOutdatedError,
    LexicalQuery,
    LexicalWriter,
    PathGlobError,
)
from skep.knowledge.lexical.index import MAX_TERMS
from tests.unit.knowledge.lexical_documents import found, passage, query

DOCUMENTS = [
    passage(1, "def follow_redirects(): pass", defines=("Session.follow_redirects",), path="src/http/sessions.py"),
    passage(2, "redirect to the start page", path="docs/guide.md", language="markdown", kind="docs"),
    passage(3, "const redirectUrl = 1", path="web/app.ts", language="typescript"),
    passage(4, "nothing of the kind", path="src/http/other\nname.py"),
    passage(5, "日本語の検索 redirect", path="src/日本/検索.py"),
]


def _built(folder: Path) -> LexicalIndex:
    with LexicalWriter(folder) as writer:
        writer.add(DOCUMENTS)
        writer.commit(seq=7)
    made = LexicalIndex(folder)
    made.open()
    return made


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LexicalIndex:
    """For tests that only read."""
    return _built(tmp_path_factory.mktemp("index"))


def test_an_index_knows_how_far_it_is_and_what_it_holds(index: LexicalIndex) -> None:
    assert (index.applied_seq, index.document_count, index.deleted_share) == (7, 5, 0.0)
    assert sorted(one.version_id for one in index.passages()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("redirects", [1, 2, 3, 5]),
        ("redirect", [1, 2, 3, 5]),
        ("REDIRECTURL", [3]),
        ("検索", [5]),
        ("sessions", [1]),
        ("unheard", []),
    ],
)
def test_words_find_passages(index: LexicalIndex, text: str, versions: list[int]) -> None:
    assert found(index, text) == versions


@pytest.mark.parametrize(
    ("filters", "versions"),
    [
        (LexicalFilters(languages=("typescript", "markdown")), [2, 3]),
        (LexicalFilters(languages=("cobol",)), []),
        (LexicalFilters(kinds=("docs",)), [2]),
        (LexicalFilters(path_glob="src/"), [1, 5]),
        (LexicalFilters(path_glob="*.md"), [2]),
        (LexicalFilters(path_glob="検索.py"), [5]),
        (LexicalFilters(modified_since=1002), [2, 3, 5]),
        (LexicalFilters(modified_until=1002), [1, 2]),
        (LexicalFilters(modified_since=1003, modified_until=1003), [3]),
        (LexicalFilters(languages=("python",), path_glob="src/**/*.py", modified_since=1002), [5]),
    ],
)
def test_filters(index: LexicalIndex, filters: LexicalFilters, versions: list[int]) -> None:
    assert found(index, "redirect", filters) == versions


def test_a_filter_changes_no_score(index: LexicalIndex) -> None:
    plain = {hit.version_id: hit.score for hit in index.search(query("redirect")).passages}
    filtered = index.search(query("redirect", LexicalFilters(kinds=("docs",)))).passages
    assert [hit.score for hit in filtered] == [pytest.approx(plain[2])]


def test_filters_never_return_too_few(tmp_path: Path) -> None:
    common = [passage(number, "word " * 20) for number in range(500)]
    rare = [passage(number, "a word among others", language="rust") for number in range(500, 510)]
    with LexicalWriter(tmp_path) as writer:
        writer.add([*common, *rare])
        writer.commit(seq=1)
    index = LexicalIndex(tmp_path)
    index.open()
    hits = index.search(query("word", LexicalFilters(languages=("rust",)), limit=10)).passages
    assert len(hits) == 10


@pytest.mark.parametrize("glob", ["[z-a].py", "a*" * 200])
def test_a_glob_the_index_cannot_match_is_refused_with_words(index: LexicalIndex, glob: str) -> None:
    with pytest.raises(PathGlobError):
        index.search(query("redirect", LexicalFilters(path_glob=glob)))


@pytest.mark.parametrize("name", ["follow_redirects", "Session.follow_redirects", "session::FOLLOW_redirects"])
def test_definitions_are_found_by_name(index: LexicalIndex, name: str) -> None:
    hits = index.search(LexicalQuery({}, names=(name,)))
    assert [(hit.version_id, hit.score) for hit in hits.definitions] == [(1, 0.0)]
    assert hits.passages == ()


def test_of_many_terms_the_rarest_decide(index: LexicalIndex) -> None:
    noise = {f"absent{number}": 1.0 for number in range(MAX_TERMS * 3)}
    hits = index.search(LexicalQuery({**noise, "redirecturl": 1.0}))
    assert [hit.version_id for hit in hits.passages] == [3]


def test_a_reader_sees_a_commit_after_refresh_and_not_before(tmp_path: Path) -> None:
    index = _built(tmp_path / "index")
    with LexicalWriter(tmp_path / "index") as writer:
        writer.remove([2])
        writer.add([passage(6, "redirect again")])
        writer.commit(seq=9)
    assert (found(index, "redirect"), index.applied_seq) == ([1, 2, 3, 5], 7)
    assert index.refresh() == 9
    assert found(index, "redirect") == [1, 3, 5, 6]
    assert index.deleted_share == pytest.approx(1 / 6)


def test_a_rebuild_is_seen_at_once_and_whole(tmp_path: Path) -> None:
    index = _built(tmp_path / "index")
    with LexicalWriter(tmp_path / "index", rebuild=True) as writer:
        writer.add([passage(9, "redirect only")])
        writer.commit(seq=20)
        index.refresh()
        assert found(index, "redirect") == [1, 2, 3, 5]
        writer.publish()
        assert found(index, "redirect") == [1, 2, 3, 5]
        assert index.refresh() == 20
        assert found(index, "redirect") == [9]
        writer.remove([9])
        writer.commit(seq=21)
    assert index.refresh() == 21
    assert found(index, "redirect") == []


def _cut(folder: Path) -> None:
    for file in folder.glob("generation-*/*.term"):
        file.write_bytes(file.read_bytes()[:10])


def _garble_meta(folder: Path) -> None:
    for file in folder.glob("generation-*/meta.json"):
        file.write_text("{")


def _remove_segment(folder: Path) -> None:
    for file in folder.glob("generation-*/*.idx"):
        file.unlink()


def _remove_generation(folder: Path) -> None:
    for generation in folder.glob("generation-*"):
        generation.rename(folder / "elsewhere")


def _garble_pointer(folder: Path) -> None:
    (folder / "current").write_text("generation-1")


def _point_outside(folder: Path) -> None:
    pointer = json.loads((folder / "current").read_text())
    (folder / "current").write_text(json.dumps(pointer | {"generation": "generation-/../../x"}))


@pytest.mark.parametrize(
    "damage", [_cut, _garble_meta, _remove_segment, _remove_generation, _garble_pointer, _point_outside]
)
def test_damage_is_noticed_and_cured_by_a_rebuild(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    with LexicalWriter(tmp_path) as writer:
        writer.add(DOCUMENTS)
        writer.commit(seq=7)
    damage(tmp_path)
    with pytest.raises(LexicalDamagedError):
        LexicalIndex(tmp_path).open()
    with pytest.raises(LexicalDamagedError), LexicalWriter(tmp_path):
        pass
    with LexicalWriter(tmp_path, rebuild=True) as writer:
        writer.add(DOCUMENTS[:1])
    with LexicalWriter(tmp_path, rebuild=True) as writer:
        writer.add(DOCUMENTS)
        writer.commit(seq=7)
        writer.publish()
    LexicalIndex(tmp_path).open()


def test_an_index_of_another_format_is_outdated(tmp_path: Path) -> None:
    with LexicalWriter(tmp_path):
        pass
    pointer = json.loads((tmp_path / "current").read_text())
    (tmp_path / "current").write_text(json.dumps(pointer | {"format": "layout 0"}))
    with pytest.raises(LexicalOutdatedError):
        LexicalIndex(tmp_path).open()


@pytest.mark.parametrize("name", ["", "nowhere/at/all"])
def test_no_index_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(LexicalMissingError) as caught:
        LexicalIndex(tmp_path / name).open()
    assert isinstance(caught.value, LexicalIndexError)
    assert not (tmp_path / "nowhere").exists()


def test_any_path_and_any_text_can_be_indexed(tmp_path: Path) -> None:
    strange = [
        passage(1, "alpha \udc80 \x00 beta", path="bad\udcff name.py"),
        passage(2, "x" * 200_000 + " gamma", path="a" * 5_000),
    ]
    with LexicalWriter(tmp_path) as writer:
        writer.add(strange)
        writer.commit(seq=1)
    index = LexicalIndex(tmp_path)
    index.open()
    assert found(index, "beta") == [1]
    assert found(index, "beta", LexicalFilters(path_glob="bad\udcff*.py")) == [1]
    assert found(index, "x" * 200_000) == [2]
