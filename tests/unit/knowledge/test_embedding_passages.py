"""What of a passage becomes its vector."""

from __future__ import annotations

import pytest

from skep.knowledge.embedding_inputs import GIST_CHARS, gist
from skep.knowledge.embedding_passages import GIST_WEIGHT, PassageEmbedder
from skep.knowledge.models import ChunkDraft
from tests.embedders import WordEmbedder

PYTHON = '''def drain(self, limit):
    """Wait until every borrowed connection
    came back.

    It is called once.
    """
'''


@pytest.mark.parametrize(
    ("text", "symbol", "expected"),
    [
        pytest.param(PYTHON, "Pool.drain", "drain. Wait until every borrowed connection came back", id="docstring"),
        pytest.param("// Opens a pool.\n// Or fails.\nfunc Open()", "Open", "open. Opens a pool. Or fails", id="lines"),
        pytest.param("/**\n * Opens.\n * @param a b\n */\nopen()", "openPool", "open pool. Opens", id="block"),
        pytest.param("#[inline]\nfn get_url() {}", "HTTPClient.get_url", "get url", id="an attribute is no comment"),
        pytest.param("#include <a>\nint f();", "parseHTTPHeader", "parse http header", id="nor is an include"),
        pytest.param("x = 1  # one\n# two words\ny = 2", "y", "y. two words", id="a comment of its own line"),
        pytest.param("# Title\n\nProse.", "", "", id="prose has none"),
        pytest.param("größe = 1", "größeNeu", "größe neu", id="letters of other alphabets stay"),
        pytest.param("a()", "_", "", id="a name without letters"),
    ],
)
def test_the_gist_is_the_name_and_what_the_comment_says_first(text: str, symbol: str, expected: str) -> None:
    assert gist(text, symbol=symbol) == expected


def test_a_long_comment_is_cut() -> None:
    assert len(gist(f"// {'word ' * 500}\nf()", symbol="f")) <= GIST_CHARS + len("f. ")


def test_a_vector_leans_to_the_gist_and_has_unit_length() -> None:
    model = WordEmbedder()
    passages = [ChunkDraft("alpha beta", 1, 1), ChunkDraft("// gamma\nbeta()", 1, 2, symbol="beta")]
    found = PassageEmbedder(model).embed_passages(passages)
    alone, whole, told = model.embed(["alpha beta", "beta\n// gamma\nbeta()", "beta. gamma"])
    expected = whole + GIST_WEIGHT * told
    assert found[0] == pytest.approx(alone)
    assert found[1] == pytest.approx(expected / (expected @ expected) ** 0.5, abs=1e-6)


def test_vectors_of_another_making_are_told_apart_by_name() -> None:
    model = WordEmbedder()
    passages = PassageEmbedder(model)
    assert passages.name != model.name
    assert model.name in passages.name
    assert (passages.dimensions, passages.max_tokens) == (model.dimensions, model.max_tokens)
    assert (passages.embed(["alpha"]) == model.embed(["alpha"])).all()
