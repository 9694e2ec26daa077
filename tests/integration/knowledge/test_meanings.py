"""Vectors of passages: made in the background, once for each text, complete when they say so, gone when erased."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from skep.knowledge import EmbeddingStatus, SearchRequest, embedding_work, meaning, vectors
from skep.knowledge.embedding import EmbeddingFailedError
from tests.embedders import WordEmbedder
from tests.workspace import Workspace, open_workspace, settings_for, with_embedder

SYNONYMS = {"bittern": "bird", "heron": "bird", "lorry": "vehicle", "truck": "vehicle"}
FILES = {
    "wading.py": "def bittern():\n    return 'stands in reeds'\n",
    "hauling.py": "def lorry():\n    return 'carries gravel'\n",
    "docs/guide.md": "# Guide\n\nNothing of the kind.\n",
}


async def fill(workspace: Workspace) -> None:
    for path, text in FILES.items():
        workspace.write(path, text)
    await workspace.index()


async def embed(workspace: Workspace) -> None:
    """Until nothing is left."""
    await workspace.skep.knowledge.embed(asyncio.Event(), until_done=True)


async def status(workspace: Workspace) -> tuple[EmbeddingStatus, ...]:
    (collection,) = await workspace.skep.knowledge.status(workspace.who)
    return collection.embeddings


async def count_vectors(workspace: Workspace) -> int:
    return len(await workspace.rows("select from embedding"))


async def test_what_is_meant_is_found_though_no_word_of_it_is_written(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder(synonyms=SYNONYMS)) as meant:
        await fill(meant)
        before = await meant.search("heron")
        assert (before.results, before.embedded_fraction) == ((), 0.0)
        await embed(meant)
        after = await meant.search("heron")
        assert after.results[0].path == "wading.py"
        assert after.embedded_fraction == 1.0
        assert await status(meant) == (EmbeddingStatus("words@1+gist", 3, 3, 1.0, "complete"),)
        assert await meant.differences() == []


async def test_a_name_that_is_nowhere_is_not_found_by_meaning(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder()) as meant:
        await fill(meant)
        await embed(meant)
        assert (await meant.search("NoSuchThing")).results == ()


async def test_without_a_model_only_words_are_searched(workspace: Workspace) -> None:
    await fill(workspace)
    answer = await workspace.search("bittern")
    assert [result.path for result in answer.results] == ["wading.py"]
    assert answer.embedded_fraction is None
    assert await workspace.skep.knowledge.has_embedding_work() is False


async def test_only_what_is_new_is_embedded(workspace: Workspace) -> None:
    embedder = WordEmbedder()
    async with with_embedder(workspace, embedder) as meant:
        await fill(meant)
        await embed(meant)
        embedder.embedded.clear()
        meant.write("hauling.py", "def lorry():\n    return 'carries sand'\n")
        (meant.folder / "wading.py").rename(meant.folder / "moved.py")
        meant.write("copy.md", FILES["docs/guide.md"])
        await meant.index()
        assert await meant.skep.knowledge.has_embedding_work()
        assert (await status(meant))[0].state == "embedding"
        await embed(meant)
        assert embedder.embedded == ["lorry\ndef lorry():\n    return 'carries sand'", "lorry"]
        assert (await status(meant))[0].embedded_fraction == 1.0


async def test_a_run_that_was_interrupted_goes_on_where_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_work, "_CALL_PASSAGES", 4)
    monkeypatch.setattr(embedding_work, "PAGE_PASSAGES", 6)
    for number in range(20):
        workspace.write(f"n{number}.py", f"def gull_{number}():\n    return {number}\n")
    ending = asyncio.Event()
    embedder = WordEmbedder()
    embedder.before = lambda _: ending.set() if len(embedder.embedded) >= 16 else None
    async with with_embedder(workspace, embedder) as meant:
        await meant.index()
        await meant.skep.knowledge.embed(ending, until_done=True)
        done = await count_vectors(meant)
        assert 0 < done < 20
        assert 0 < ((await meant.search("gull 3")).embedded_fraction or 0) < 1
        assert (await status(meant))[0].state == "embedding"
        await embed(meant)
        passages = [text for text in embedder.embedded if text.startswith("gull_")]
        assert await count_vectors(meant) == 20 == len(passages)
        assert (await status(meant))[0].state == "complete"


async def test_what_was_erased_leaves_no_vector_and_none_comes_back(workspace: Workspace) -> None:
    loop = asyncio.get_running_loop()

    def purge(texts: Sequence[str]) -> None:
        if len(texts) > len(FILES):  # all passages, and the gists of those that have one
            purged = workspace.skep.knowledge.purge(workspace.who, workspace.folder.name, "wading.py")
            asyncio.run_coroutine_threadsafe(purged, loop).result(20)

    async with with_embedder(workspace, WordEmbedder(before=purge)) as meant:
        await fill(meant)
        await embed(meant)
        assert await count_vectors(meant) == len(FILES) - 1
        assert (await status(meant))[0].state == "complete"
        await meant.skep.knowledge.purge(meant.who, meant.folder.name, None)
        assert await count_vectors(meant) == 0


async def test_a_pause_lasts_until_somebody_goes_on(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder()) as meant:
        await fill(meant)
        await meant.skep.knowledge.pause_embedding(meant.who, (), is_paused=True)
        await embed(meant)
        assert await count_vectors(meant) == 0
        await meant.skep.knowledge.pause_embedding(meant.who, (meant.folder.name,), is_paused=False)
        await embed(meant)
        assert await count_vectors(meant) == len(FILES)


async def test_a_pause_is_heeded_within_a_page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_work, "_CALL_PASSAGES", 4)
    for number in range(20):
        workspace.write(f"n{number}.py", f"def gull_{number}():\n    return {number}\n")
    loop = asyncio.get_running_loop()

    def pause(_: Sequence[str]) -> None:
        paused = workspace.skep.knowledge.pause_embedding(workspace.who, (), is_paused=True)
        asyncio.run_coroutine_threadsafe(paused, loop).result(20)

    embedder = WordEmbedder(before=pause)
    async with with_embedder(workspace, embedder) as meant:
        await meant.index()
        await embed(meant)
        assert await count_vectors(meant) == 4
        embedder.before = lambda _: None
        await meant.skep.knowledge.pause_embedding(meant.who, (), is_paused=False)
        await embed(meant)
        assert await count_vectors(meant) == 20


async def test_two_models_stand_side_by_side(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder("words@1", SYNONYMS)) as meant:
        await fill(meant)
        await embed(meant)
        async with with_embedder(meant, WordEmbedder("words@2")) as other:
            assert (await other.search("heron")).embedded_fraction == 0.0
            await embed(other)
            assert [(row.model, row.state) for row in await status(other)] == [
                ("words@1+gist", "complete"),
                ("words@2+gist", "complete"),
            ]
            assert await count_vectors(other) == 2 * len(FILES)
            # Each searches by its own: to the second the two words have nothing in common.
            found = (await other.search("heron")).results
            assert not found or found[0].path != "wading.py"
        assert (await meant.search("heron")).results[0].path == "wading.py"


async def test_nobody_finds_by_meaning_what_is_not_theirs(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder(synonyms=SYNONYMS)) as meant:
        await fill(meant)
        stranger = await meant.new_principal()
        other = meant.folder.parent / "other"
        other.mkdir()
        (other / "pond.py").write_text("def pond():\n    return 'water'\n")
        await meant.skep.knowledge.index(stranger, other, report=lambda *_: None)
        await embed(meant)
        assert await meant.paths("heron", who=stranger) <= {"pond.py"}
        assert "wading.py" in await meant.paths("heron")


@pytest.mark.parametrize("exact_passages", [0, 20_000])
async def test_filters_never_let_too_few_through(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, exact_passages: int
) -> None:
    monkeypatch.setattr(vectors, "EXACT_PASSAGES", exact_passages)
    async with with_embedder(workspace, WordEmbedder(synonyms=SYNONYMS)) as meant:
        for number in range(150):
            meant.write(f"near/n{number}.py", f"def heron_{number}():\n    heron = {number}\n")
        for number in range(7):
            meant.write(f"far/f{number}.md", f"# Note {number}\n\nSomething about gravel, {number}.\n")
        await meant.index()
        await embed(meant)
        bird = SearchRequest(query="bird", top_k=50)
        for wanted in (
            replace(bird, path_glob="far/**"),
            replace(bird, kinds=("docs",)),
            replace(bird, languages=("markdown",)),
        ):
            found = (await meant.skep.knowledge.search(meant.who, wanted)).results
            assert {result.path for result in found} == {f"far/f{number}.md" for number in range(7)}, wanted
        gone = replace(bird, modified_until=1)
        assert (await meant.skep.knowledge.search(meant.who, gone)).results == ()


async def test_a_model_that_fails_leaves_the_words(workspace: Workspace) -> None:
    embedder = WordEmbedder()
    async with with_embedder(workspace, embedder) as meant:
        await fill(meant)
        await embed(meant)
        embedder.failure = EmbeddingFailedError(name="words@1", reason="no memory")
        answer = await meant.search("bittern reeds")
        assert answer.results[0].path == "wading.py"
        assert answer.embedded_fraction == 0.0
        meant.write("new.py", "def curlew(): pass\n")
        await meant.index()
        with pytest.raises(EmbeddingFailedError):
            await embed(meant)


async def test_the_model_of_the_package(database_url: str, tmp_path: Path) -> None:
    async with open_workspace(None, tmp_path, settings_for(database_url, tmp_path / "data", embedding=True)) as meant:
        meant.write("auth.py", "def verify_credentials(user, secret):\n    return check_hash(user.digest, secret)\n")
        meant.write("math.py", "def area(radius):\n    return 3.14159 * radius ** 2\n")
        await meant.index()
        await embed(meant)
        assert (await meant.search("login with a password")).results[0].path == "auth.py"
        assert await meant.differences() == []


async def test_verify_finds_vectors_that_are_missing_or_wrong(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder()) as meant:
        await fill(meant)
        await embed(meant)
        assert await meant.differences() == []
        await meant.execute("delete from embedding where ctid = (select min(ctid) from embedding)")
        assert await meant.differences() == [
            "meanings: 1 of 3 passages have no vector, though all are said to have one"
        ]
        other = "select vector from embedding order by input_sha256 limit 1"
        await meant.execute(f"update embedding set vector = ({other})")
        assert any("is not its passage's" in difference for difference in await meant.differences())


async def test_what_is_forgotten_leaves_the_rest_complete(workspace: Workspace) -> None:
    async with with_embedder(workspace, WordEmbedder(synonyms=SYNONYMS)) as meant:
        await fill(meant)
        await embed(meant)
        await meant.skep.knowledge.forget(meant.who, meant.folder.name, "wading.py")
        assert await status(meant) == (EmbeddingStatus("words@1+gist", 2, 2, 1.0, "complete"),)
        answer = await meant.search("heron")
        assert answer.embedded_fraction == 1.0
        assert "wading.py" not in {result.path for result in answer.results}


async def test_vectors_that_cannot_be_read_now_are_not_waited_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meaning, "_PATIENCE_SECONDS", 0.2)
    async with with_embedder(workspace, WordEmbedder()) as meant:
        await fill(meant)
        await embed(meant)
        async with meant.skep.database.transaction() as connection:
            await connection.execute(b"lock table embedding in access exclusive mode")
            answer = await meant.search("bittern reeds")
        assert (answer.results[0].path, answer.embedded_fraction) == ("wading.py", 0.0)
        assert (await meant.search("bittern reeds")).embedded_fraction == 1.0
