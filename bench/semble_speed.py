"""How big semble's index is and how fast it answers. Runs in the peers' environment (bench/peers.sh), not in ours.

Reads one JSON object from stdin: ``{"root": folder, "questions": [text], "top_k": n}``; writes one to stdout:
``{"files": n, "source_bytes": n, "chunks": n, "search_ms": [...]}``. The index is the one that `semble search` kept.
"""

from __future__ import annotations

import json
import sys
import time

from semble import SembleIndex
from semble.types import ContentType


def main() -> None:
    """Load, ask every question once to warm up and once more for the clock, print."""
    task = json.load(sys.stdin)
    index = SembleIndex.from_path(task["root"], content=tuple(ContentType))
    if not index.loaded_from_disk:
        sys.exit("error: there is no kept index that fits the folder")
    times: list[float] = []
    for timed in (False, True):
        for question in task["questions"]:
            started = time.perf_counter()
            index.search(question, top_k=task["top_k"])
            if timed:
                times.append((time.perf_counter() - started) * 1000)
    sizes = index._file_sizes  # noqa: SLF001 - it is not told elsewhere
    answer = {
        "files": index.stats.indexed_files,
        "source_bytes": sum(sizes.values()),
        "chunks": index.stats.total_chunks,
        "search_ms": times,
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
