"""`skep watch` as people run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.command import Command, write
from tests.serving import eventually


class Watch:
    """A `skep watch` at work; its lines are read as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((process.stdout, self.out), (process.stderr, self.err))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        lines.extend(line.decode().rstrip("\n") for line in stream)

    def until(self, lines: list[str], words: str, *, seconds: float = 25.0) -> str:
        deadline = time.monotonic() + seconds
        while True:
            for line in lines:
                if words in line:
                    return line
            assert time.monotonic() < deadline, (words, self.out, self.err)
            time.sleep(0.02)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        for thread in self._threads:
            thread.join()
        return code


@contextmanager
def watch(skep: Command, *arguments: str) -> Iterator[Watch]:
    running = Watch(skep.start("watch", *arguments))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)
        assert running.process.stdout is not None
        assert running.process.stderr is not None
        running.process.stdout.close()
        running.process.stderr.close()


@pytest.mark.measured
def test_a_new_folder_is_indexed_and_watched(skep_on: Command) -> None:
    write(skep_on.folder, {"a.py": "def aardvark(): ...\n"})
    with watch(skep_on, ".", "--json") as running:
        running.until(running.err, "watching ")
        write(skep_on.folder, {"b.py": "def buffalo(): ...\n", "c.py": "def cormorant(): ...\n"})
        told = json.loads(running.until(running.out, "b.py"))
        assert told["collection"] == "project"
        # It is told as soon as it is stored; a search doesn't wait for the process that is just writing the index.
        with eventually() as waits:
            while not (results := skep_on("search", "buffalo", "--json").answer["results"]) and waits():
                pass
        assert results[0]["path"] == "b.py"
        (skep_on.folder / "b.py").unlink()
        removed = json.loads(running.until(running.out, '"removed_paths": ["b.py"]'))
        assert removed["removed"] == 1
        assert skep_on("status", "--json").answer["collections"][0]["sources"][0]["watch"]["method"] == "events"
        assert running.end(signal.SIGTERM) == 130
    assert skep_on("status", "--json").answer["collections"][0]["sources"][0]["watch"] is None
    assert "nothing is lost" in running.err[-1]


def test_lines_for_people(skep_on: Command) -> None:
    write(skep_on.folder, {"a.py": "def aardvark(): ...\n"})
    skep_on("index", ".")
    with watch(skep_on) as running:
        running.until(running.err, "watching ")
        write(skep_on.folder, {"a.py": "def buffalo(): ...\n", "odd\x1b[31m.py": "def cormorant(): ...\n"})
        assert "\x1b" not in running.until(running.out, "odd")
        assert running.until(running.out, "changed a.py")


def test_a_start_tells_what_it_caught_up_with(skep_on: Command) -> None:
    write(skep_on.folder, {"a.py": "def aardvark(): ...\n"})
    skep_on("index", ".")
    write(skep_on.folder, {"a.py": "def buffalo(): ...\n"})
    with watch(skep_on) as running:
        running.until(running.out, "changed a.py")


def test_nothing_to_watch(skep_on: Command) -> None:
    done = skep_on("watch", "--json", code=1)
    assert done.error["code"] == "nothing_to_watch"
    assert "skep watch ." in done.error["fix"]
    assert skep_on("watch", "missing", "--json", code=None).error["code"] == "root_missing"


@pytest.mark.no_cover
def test_a_killed_watch_loses_nothing(skep_on: Command) -> None:
    write(skep_on.folder, {f"module_{number}.py": f"x = {number}\n" for number in range(50)})
    skep_on("index", ".")
    for turn in range(4):
        with watch(skep_on) as running:
            running.until(running.err, "watching ")
            for number in range(40):
                (skep_on.folder / f"module_{number}.py").write_text(f"def turn_{turn}():\n    return {number}\n")
            time.sleep(0.1 + turn * 0.1)
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()
        assert skep_on("verify", "--json").answer["equal"]
    (skep_on.folder / "module_7.py").unlink()
    with watch(skep_on) as running:
        running.until(running.err, "watching ")
    answer = skep_on("index", ".", "--json").answer
    assert (answer["files_added"], answer["files_changed"], answer["files_removed"]) == (0, 0, 0)
