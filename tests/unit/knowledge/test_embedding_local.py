"""The model that comes with the package. Its vectors are the same to the last bit on one machine; elsewhere the last digits differ."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from skep.errors import UnavailableError
from skep.knowledge.embedding import (
    BUNDLED_MODEL,
    Embedder,
    EmbeddingFailedError,
    EmbeddingModelDamagedError,
    EmbeddingModelMissingError,
    EmbeddingRuntimeMissingError,
    LocalEmbedder,
    load_local_embedder,
)
from skep.knowledge.embedding.local import lower_priority
from skep.knowledge.embedding.tokens import FIRST_CHARACTERS, Tokens

np: Any = import_module("numpy")

SAME = 0.99999
"""The least cosine of texts that are the same to the model."""

PUBLISHED_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PUBLISHED_TOKENIZER = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

WORDS = Path(__file__).read_text(encoding="utf-8").split()


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return load_local_embedder(threads=2)


@pytest.fixture(scope="module")
def published() -> Any:
    """The tokenizer of the `tokenizers` package, cutting by itself: slow for long texts, and right."""
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(BUNDLED_MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return tokenizer


def tokens(published: Any) -> Tokens:
    plain = import_module("tokenizers").Tokenizer.from_str(published.to_str())
    plain.no_truncation()
    return Tokens(plain, 256)


def texts_of_many_lengths(count: int) -> list[str]:
    chosen = random.Random(count)
    return [" ".join(chosen.choices(WORDS, k=chosen.randrange(1, 60))) for _ in range(count)]


def similarity(embedder: Embedder, texts: Sequence[str]) -> Any:
    vectors = embedder.embed(texts)
    return vectors @ vectors.T


def test_it_says_what_it_is(embedder: LocalEmbedder) -> None:
    assert (embedder.dimensions, embedder.max_tokens) == (384, 256)
    assert re.fullmatch(r"all-MiniLM-L6-v2-int8@[0-9a-f]{12}", embedder.name)


def test_the_files_are_those_that_the_manifest_states() -> None:
    manifest = json.loads((BUNDLED_MODEL / "manifest.json").read_bytes())
    assert set(manifest["files"]) == {"model.onnx", "tokenizer.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((BUNDLED_MODEL / name).read_bytes()).hexdigest() == digest
    assert manifest["source"]["weights_sha256"] == PUBLISHED_WEIGHTS
    # The tokenizer is the published one, unchanged.
    assert manifest["files"]["tokenizer.json"] == PUBLISHED_TOKENIZER


def test_the_model_comes_with_its_papers() -> None:
    assert (BUNDLED_MODEL / "model.onnx").stat().st_size < 25_000_000
    assert "Apache License" in (BUNDLED_MODEL / "LICENSE").read_text(encoding="utf-8")
    card = (BUNDLED_MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    manifest = json.loads((BUNDLED_MODEL / "manifest.json").read_bytes())
    static = manifest["figures"]["graphs"]["static int8"]
    stated = (manifest["name"], manifest["source"]["weights_sha256"], *manifest["files"].values())
    for fact in (
        *stated,
        f"{static['cosine_least']:.4f}",
        f"{static['cosqa_mrr']:.4f}",
        manifest["figures"]["measured"],
    ):
        assert fact in card


def test_the_measured_figures_reach_the_goals() -> None:
    graphs = json.loads((BUNDLED_MODEL / "manifest.json").read_bytes())["figures"]["graphs"]
    assert graphs["static int8"]["cosine_least"] >= 0.98
    assert graphs["original"]["cosqa_mrr"] - graphs["static int8"]["cosqa_mrr"] <= 0.01


def test_nothing_heavy_is_imported_before_a_model_is_loaded() -> None:
    code = """
import importlib, pkgutil, sys
import skep
for module in pkgutil.walk_packages(skep.__path__, "skep."):
    if not module.name.endswith(("__main__", ".env")) and ".migrations." not in module.name:
        importlib.import_module(module.name)
print(*sorted({"numpy", "onnxruntime", "tokenizers", "huggingface_hub"} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=50)
    assert (child.stdout.strip(), child.returncode) == ("", 0), child.stderr


def test_vectors_are_rows_of_unit_length(embedder: LocalEmbedder) -> None:
    vectors = embedder.embed(texts_of_many_lengths(40))
    assert vectors.shape == (40, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert embedder.embed([]).shape == (0, 384)


def test_a_vector_does_not_depend_on_what_it_is_computed_among(embedder: LocalEmbedder) -> None:
    texts = [*texts_of_many_lengths(60), "", "x " * 400]
    together = embedder.embed(texts)
    shuffled = list(range(len(texts)))
    random.Random(3).shuffle(shuffled)
    assert np.array_equal(embedder.embed([texts[place] for place in shuffled]), together[shuffled])
    half = shuffled[::2]
    assert np.array_equal(embedder.embed([texts[place] for place in half]), together[half])
    assert np.array_equal(embedder.embed(texts * 3), np.tile(together, (3, 1)))
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.array_equal(alone, together)


def test_threads_and_loading_anew_change_no_vector(embedder: LocalEmbedder) -> None:
    texts = texts_of_many_lengths(30)
    assert np.array_equal(load_local_embedder(threads=1).embed(texts), embedder.embed(texts))


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("how do I reverse a list in python", "def rev(xs):\n    return xs[::-1]", "def connect(host, port): ..."),
        ("parse json from a string", "data = json.loads(text)", "thread.join(timeout=3)"),
        (
            "where are retries configured",
            "RETRY_COUNT = 3  # how often a request is retried",
            "the colour of a heading",
        ),
        ("The cat sits on the mat.", "A cat is sitting on a rug.", "Shares fell by three percent on Monday."),
        ("delete a file", "os.unlink(path)", "math.sqrt(x)"),
        ("open a database connection", "psycopg.connect(dsn)", "print('hello world')"),
    ],
)
def test_what_means_the_same_is_nearer(embedder: LocalEmbedder, query: str, near: str, far: str) -> None:
    scores = similarity(embedder, [query, near, far])
    assert scores[0, 1] > scores[0, 2] + 0.1


def test_known_cosines_of_the_published_model(embedder: LocalEmbedder) -> None:
    # Computed with the published fp32 weights; see training/README.md.
    scores = similarity(
        embedder, ["A man is eating food.", "A man is eating a piece of bread.", "A cheetah chases its prey."]
    )
    assert scores[0, 1] == pytest.approx(0.7553, abs=0.03)
    assert scores[0, 2] == pytest.approx(0.1956, abs=0.03)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t\r",
        "\x00",
        "a\ud800b",
        "\udcff\udcfe",
        "\u202e\u200b",
        "日本語のテキスト",
        "🐝" * 50,
        "[CLS] [SEP] [PAD]",
        "é" * 3,
    ],
)
def test_any_text_has_a_vector(embedder: LocalEmbedder, text: str) -> None:
    vector = embedder.embed([text])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_lone_surrogate_counts_as_a_question_mark(embedder: LocalEmbedder) -> None:
    scores = similarity(embedder, ["broken \ud800 text", "broken ? text"])
    assert scores[0, 1] > SAME


def test_only_the_beginning_of_a_long_text_counts(embedder: LocalEmbedder) -> None:
    beginning = " ".join(WORDS[:300])
    assert len(beginning) < 1_000_000
    scores = similarity(embedder, [beginning + " and more", (beginning + " or less " * 120_000)[:1_000_000], WORDS[0]])
    assert scores[0, 1] > SAME
    assert scores[0, 2] < 0.9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one",
        " ".join(WORDS),
        "x" * 300_000,
        " " * 50_000 + "late words count too",
        "a " * 127 + "b " * 4_000,
        "word " * (FIRST_CHARACTERS // 5) + "cutinthemiddle",
        ("y" * 99 + " ") * 200,
        ("z" * 1_500 + " ") * 400,
        "日本語 " * 5_000,
        "e\u0301" * 5_000,
    ],
    ids=lambda text: f"{text[:12]!r} {len(text)}",
)
def test_tokens_are_those_of_the_published_tokenizer(published: Any, text: str) -> None:
    assert tokens(published).ids(text) == published.encode(text).ids


def test_random_texts_have_the_published_tokens(published: Any) -> None:
    chosen, ours = random.Random(11), tokens(published)
    for text in [*texts_of_many_lengths(20), *("".join(chosen.choices("ab ._-é日\n", k=9_000)) for _ in range(10))]:
        assert ours.ids(text) == published.encode(text).ids


def test_several_threads_may_embed_at_once(embedder: LocalEmbedder) -> None:
    texts = texts_of_many_lengths(12)
    alone = embedder.embed(texts)
    with ThreadPoolExecutor(3) as pool:
        for vectors in pool.map(embedder.embed, [texts] * 3):
            assert np.array_equal(vectors, alone)


def test_no_thread_stays(embedder: LocalEmbedder) -> None:
    embedder.embed(texts_of_many_lengths(30))
    before = psutil.Process().num_threads()
    load_local_embedder(threads=2).embed(texts_of_many_lengths(30))
    assert psutil.Process().num_threads() <= before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skep-embed")]


def test_it_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("a network connection was tried")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert load_local_embedder().embed(["nothing leaves"]).shape == (1, 384)
    assert "huggingface_hub" not in sys.modules


def copy_of_the_model(folder: Path) -> Path:
    for name in ("model.onnx", "tokenizer.json", "manifest.json"):
        shutil.copy(BUNDLED_MODEL / name, folder)
    return folder


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["a byte", "cut", "empty"])
def test_damage_is_noticed(tmp_path: Path, name: str, kind: str) -> None:
    path = copy_of_the_model(tmp_path) / name
    content = bytearray(path.read_bytes())
    if kind == "a byte":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) // 2 if kind == "cut" else 0 :]
    path.write_bytes(content)
    with pytest.raises(EmbeddingModelDamagedError, match="SHA-256") as raised:
        load_local_embedder(tmp_path)
    assert raised.value.fields["path"] == path


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (copy_of_the_model(tmp_path) / name).unlink()
    with pytest.raises(EmbeddingModelMissingError, match=name):
        load_local_embedder(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_nothing_understands_is_damaged(tmp_path: Path, name: str) -> None:
    folder = copy_of_the_model(tmp_path)
    (folder / name).write_bytes(b"{}")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = hashlib.sha256(b"{}").hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(EmbeddingModelDamagedError, match=name):
        load_local_embedder(folder)


def test_a_manifest_without_facts_is_damaged(tmp_path: Path) -> None:
    (copy_of_the_model(tmp_path) / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EmbeddingModelDamagedError, match=r"manifest\.json"):
        load_local_embedder(tmp_path)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "numpy"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EmbeddingRuntimeMissingError, match=package) as raised:
        load_local_embedder()
    assert package in raised.value.fix_text


@pytest.mark.parametrize("count", [1, 30])
def test_a_failed_computation_is_ours(embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    class Broken:
        def run(self, *args: object) -> NoReturn:
            raise RuntimeError("bad allocation")

    monkeypatch.setattr(embedder, "_session", Broken())
    with pytest.raises(EmbeddingFailedError, match="bad allocation") as raised:
        embedder.embed(texts_of_many_lengths(count))
    assert isinstance(raised.value, UnavailableError)


def test_only_the_working_threads_step_back() -> None:
    before = psutil.Process().nice()
    wanted = min(before + 3, 19)
    with ThreadPoolExecutor(1, initializer=lower_priority, initargs=(wanted,)) as pool:
        inside = pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert inside == (wanted if sys.platform == "linux" else before)
    assert psutil.Process().nice() == before
