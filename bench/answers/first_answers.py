"""First answers without a model: on questions about this repository's own documentation, and on others.

    python -m bench.answers.first_answers [--save]

Indexes ``docs`` and the README, embeds them, and asks `questions.yaml` through the HTTP API of a server. An answer is right when one of the
pages that the questions name is among its first three sources; a question that nothing answers must be told to have none.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench.gateway.programs import free_port, wait_until_ready
from bench.processes import REPOSITORY, Skep
from bench.results import Collector, Figure, add_options, finish, options_of

_QUESTIONS = Path(__file__).parent / "questions.yaml"
_SOURCES = 3
_READY_SECONDS = 60.0


def measure(repeat: int) -> Sequence[Figure]:
    """The figures."""
    told: dict[str, Any] = yaml.safe_load(_QUESTIONS.read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix="skep-bench-answers-") as name, Skep(Path(name) / "data", embedding=True) as skep:
        folder = Path(name) / "skep"
        shutil.copytree(REPOSITORY / "docs", folder / "docs")
        shutil.copy(REPOSITORY / "README.md", folder)
        skep.run("index", str(folder))
        skep.run("embed")
        port = free_port()
        process = skep.start("up", "--port", str(port), "--workers", "1")
        try:
            wait_until_ready(port, time.monotonic() + _READY_SECONDS, skep.log)
            key = (skep.data_folder / "admin.key").read_text(encoding="utf-8").strip()
            answers = {each["question"]: _ask(port, key, each["question"]) for each in told["answerable"]}
            nothing = [_ask(port, key, question) for question in told["unanswerable"]]
            times = [_ask(port, key, each["question"])["took_ms"] for _ in range(repeat) for each in told["answerable"]]
        finally:
            process.terminate()
            process.wait(60)
    right = sum(_has(answers[each["question"]], each["pages"]) for each in told["answerable"])
    silent = sum(not answer["is_answered"] for answer in nothing)
    asked = len(told["answerable"])
    return (
        Figure(
            "answers.right",
            f"Of {asked} questions about these docs, those with the right page among the first {_SOURCES} sources",
            "",
            "more",
            (float(right),),
            goal=17.0,
        ),
        Figure(
            "answers.silent",
            f"Of {len(nothing)} questions that nothing here answers, those that are told so",
            "",
            "more",
            (float(silent),),
        ),
        Figure("answers.p50_ms", "A first answer", "ms", "less", tuple(times)),
    )


def _ask(port: int, key: str, question: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/ask",
        json.dumps({"question": question, "most_quotes": _SOURCES}).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _has(answer: dict[str, Any], pages: Sequence[str]) -> bool:
    return any(quote["path"] in pages for quote in answer["quotes"])


def main() -> None:
    """Measure, print, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=3)
    options, collector = options_of(parser.parse_args()), Collector()
    for figure in measure(options.repeat):
        collector.add(figure)
    finish(collector, options)


if __name__ == "__main__":
    main()
