"""The scripted provider as a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import SOURCE


@dataclass(frozen=True)
class Scripted:
    """A scripted provider that runs."""

    url: str
    """What clients take as their base URL."""
    port: int
    log: Path
    pid: int

    def truth(self, event: str = "request") -> list[dict[str, Any]]:
        """What it received (or, with ``--ends``, how answers ended), in its order."""
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [entry for entry in entries if entry["event"] == event]


@contextmanager
def scripted(
    folder: Path, script: str, *options: str, port: int = 0, wrapper: Sequence[str] = ()
) -> Iterator[Scripted]:
    """Run `skep fake-provider` with a script; its truth log is in the folder. A second one there goes on with the log.

    ``wrapper`` is a program that runs the command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "script.yaml", folder / "truth.jsonl"
    file.write_text(script)
    line = [
        *wrapper,
        sys.executable,
        "-P",
        "-m",
        "skep",
        "fake-provider",
        "--json",
        "--script",
        str(file),
        "--log",
        str(log),
    ]
    process = subprocess.Popen(
        [*line, "--port", str(port), *options],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            answer = json.loads(process.stdout.readline())
            bound = int(answer["url"].removesuffix("/v1").rpartition(":")[2])
            yield Scripted(answer["url"], bound, log, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) in (0, -signal.SIGKILL)  # a test may have killed it
