"""What is embedded of a passage. Pure."""

from __future__ import annotations


def embedding_input(text: str, *, symbol: str, heading: str) -> str:
    """The passage below what it stands in: the qualified name of its definition, the path of headings above it.

    Both are lost when a long definition or section is cut. Measured on nine repositories (181 questions, vectors alone,
    NDCG@10): 0.785, against 0.752 for the text alone. The file's path would give 0.799, and nothing once words count too;
    without it a file that moves, and every copy of it, keep their vectors.
    """
    return "\n".join(part for part in (symbol, heading, text) if part)
