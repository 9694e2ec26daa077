"""Questions made of comments, and what is left of the file that they are asked of."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.retrieval.described import described, load_described
from skep.knowledge.chunking import parse_file

GO = """package pool

// Drain waits until every borrowed connection came back, or the context ends.
// It is called once.
func Drain(ctx context.Context) error {
	return nil
}
"""

JAVA = """class Pool {
  /**
   * Waits until every borrowed connection came back. May block.
   *
   * @param limit how long
   */
  void drain(int limit) {
  }
}
"""

PYTHON = '''class Pool:
    def drain(self, limit: float) -> None:
        """Wait until every borrowed connection came back.

        It is called once.
        """
        self.closed = True
'''

SHORT = """package pool

// Drain drains.
func Drain() {
}
"""


@pytest.mark.parametrize(
    ("path", "text", "name", "question"),
    [
        pytest.param(
            "pool.go",
            GO,
            "Drain",
            "waits until every borrowed connection came back, or the context ends",
            id="without the name",
        ),
        pytest.param("Pool.java", JAVA, "drain", "Waits until every borrowed connection came back", id="block"),
        pytest.param("pool.py", PYTHON, "drain", "Wait until every borrowed connection came back", id="docstring"),
    ],
)
def test_the_first_sentence_is_asked_and_the_comment_is_gone(path: str, text: str, name: str, question: str) -> None:
    parsed = parse_file(path, text)
    (symbol,) = [one for one in parsed.symbols if one.name == name]
    found = described(text, symbol, parsed.language)
    assert found is not None
    assert found[0] == question
    assert "borrowed" not in found[1]
    assert "once" not in found[1]
    assert name in found[1]


def test_too_short_a_comment_is_no_question() -> None:
    parsed = parse_file("pool.go", SHORT)
    assert described(SHORT, parsed.symbols[0], parsed.language) is None


def test_a_corpus_gives_one_question_for_each_file_that_has_one(tmp_path: Path) -> None:
    for name, text in {"pool.go": GO, "Pool.java": JAVA, "short.go": SHORT, "readme.md": "# Pool\n"}.items():
        (tmp_path / name).write_text(text)
    judged = load_described(tmp_path)
    assert {path for path, _ in judged.files} == {"pool.go", "Pool.java"}
    assert sorted(golden for _, golden in judged.questions) == sorted(
        [frozenset({"pool.go"}), frozenset({"Pool.java"})]
    )
