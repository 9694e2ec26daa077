"""`skep ask` as people meet it: quotes with where they stand, or a plain no."""

from __future__ import annotations

from dataclasses import replace

from tests.command import Command, write

FILES = {
    "keys.md": "# Keys\n\n## Take back\n\nA key is revoked with `skep key revoke`. Running servers refuse it within a second.\n",
    "bread.md": "# Bread\n\nThe dough rises for an hour before it is baked.\n",
}


def test_a_question_is_answered_with_quotes(skep_on: Command) -> None:
    meaning = replace(skep_on, more={"SKEP_EMBEDDING_ENABLED": "true", "SKEP_EMBEDDING_THREADS": "1"})
    write(meaning.folder, FILES)
    meaning("index", ".")
    meaning("embed")
    told = meaning("ask", "How do I revoke a key?").out
    assert "nothing here was written by a model" in told
    assert "[1] keys.md:5  Keys > Take back  (version " in told
    assert "    A key is revoked with `skep key revoke`. Running servers refuse it within a second." in told
    answer = meaning("ask", "how long does dough rise", "--json").answer
    assert [quote["path"] for quote in answer["quotes"]][:1] == ["bread.md"]
    assert "nothing that is indexed here answers that" in meaning("ask", "Who won the football world cup in 1998?").out


def test_without_vectors_words_decide(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    answer = skep_on("ask", "How is a key revoked?", "--json").answer
    assert (answer["quotes"][0]["path"], answer["embedded_fraction"]) == ("keys.md", None)
    assert skep_on("ask", "Who won the football world cup?", "--json").answer["quotes"] == []
    assert "no collection" in skep_on("ask", "What?", "-c", "nowhere", code=1).err.lower()
