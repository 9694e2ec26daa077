"""How fast documents are read in the sandbox: PDF against bare pypdfium2 on the same file in the same run.

    python -m bench.documents [--repeat N] [--save]

The file has 300 pages of 48 lines of made-up words, set as word processors do: each word by itself, with the space before it as
a number. A bare loop opens it and takes the text of each page, in this process. Ours hands the same bytes to the sandbox, which
forks a process for them, reads, and sends back the document with its pages; that is the time until it is here as an object. The
two take turns. A small file is one page of the same; a first one has its sandbox started for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import pypdfium2

from bench.results import Collector, Figure, finish, parse_options
from skep.documents import Documents
from tests import documents as made

PAGES = 300
RATIO_GOAL = 0.7

_LINES, _WORDS = 48, 13
_SMALL_FILES = 100
_SEED = 37


def make_pdf(pages: int) -> bytes:
    """A document of so many full pages, the same in each run."""
    chance = random.Random(_SEED)
    letters = "etaoinshrdlucmfwypvbgk"
    weights = [max(1, 24 - index) for index in range(len(letters))]
    words = ["".join(chance.choices(letters, weights, k=chance.randint(2, 10))) for _ in range(4_000)]
    texts = ["\n".join(" ".join(chance.choices(words, k=_WORDS)) for _ in range(_LINES)) for _ in range(pages)]
    return made.pdf(texts, title="Made-up words", are_words_set=True)


def read_bare(data: bytes) -> int:
    """The text of each page, as the library's own examples take it; how many characters there were."""
    pdf = pypdfium2.PdfDocument(data)
    count = 0
    for number in range(len(pdf)):
        page = pdf[number]
        text_page = page.get_textpage()
        count += len(text_page.get_text_range())
        text_page.close()
        page.close()
    pdf.close()
    return count


def measure(repeat: int, collector: Collector) -> None:
    """Take all figures of this script."""
    data, small = make_pdf(PAGES), make_pdf(1)
    ours: list[float] = []
    bare: list[float] = []
    with Documents() as documents:
        assert documents.sandbox_state().works
        found = documents.read_now(data, "a.pdf")
        # Line ends are one character and not two, and the space that ends a page is gone.
        assert abs(sum(len(block.text) for block in found.blocks) + PAGES * _LINES - read_bare(data)) < 2 * PAGES
        for _ in range(repeat):
            bare.append(PAGES / _seconds(lambda: read_bare(data)))
            ours.append(PAGES / _seconds(lambda: documents.read_now(data, "a.pdf")))
        each = tuple(1000 * _seconds(lambda: documents.read_now(small, "a.pdf")) for _ in range(_SMALL_FILES))
    peer = median(bare)
    name, title = "documents.pdf_pages_per_second", f"PDF of {PAGES} pages to text, in the sandbox"
    figure = Figure(name, title, "pages/s", "more", tuple(ours), goal=RATIO_GOAL, peer=peer, peer_name="pypdfium2")
    collector.add(replace(figure, goal_is_ratio=True, note="warm"))
    collector.add(Figure("documents.small_pdf_ms", "PDF of one page", "ms", "less", each, note="warm"))
    first = tuple(1000 * _seconds(lambda: _read_first(small)) for _ in range(repeat))
    collector.add(Figure("documents.first_pdf_ms", "The same with the start of its sandbox", "ms", "less", first))


def _read_first(data: bytes) -> None:
    with Documents() as documents:
        documents.read_now(data, "a.pdf")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """The command line."""
    options = parse_options(__doc__, repeat=7)
    collector = Collector()
    measure(options.repeat, collector)
    finish(collector, options)


if __name__ == "__main__":
    main()
