"""Embeds with our model for a program in another environment: a JSON list of texts per line in, rows of 32-bit numbers out."""

from __future__ import annotations

import json
import sys

from skep.knowledge.embedding import load_local_embedder


def main() -> None:
    """First the length of a vector as a line of JSON, then one answer for each line, until there are no more."""
    embedder = load_local_embedder(threads=2)
    out = sys.stdout.buffer
    out.write(json.dumps(embedder.dimensions).encode() + b"\n")
    out.flush()
    for line in sys.stdin:
        out.write(embedder.embed(json.loads(line)).tobytes())
        out.flush()


if __name__ == "__main__":
    main()
