"""What is embedded of a passage. Pure."""

from __future__ import annotations


def embedding_input(text: str, *, symbol: str, heading: str) -> str:
    """The passage below what it stands in: the qualified name of its definition, the path of headings above it.

    Both are lost when a long definition or section is cut. Measured on nine repositories (181 questions, vectors alone,
    NDCG@10): 0.751, against 0.713 for the text alone and 0.723 when only what the text does not say itself is put above. The
    file's path would add nothing once words count too; without it a file that moves, and every copy of it, keep their vectors.
    """
    return "\n".join(part for part in (symbol, heading, text) if part)
