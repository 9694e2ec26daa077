from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from skep.server.interfaces import RunFolderError, StopFailedError
from skep.server.running import Running, claim, find_running, stop

HOLDER = """
import signal, sys, time
from pathlib import Path
from skep.server.running import claim
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
file = claim(Path(sys.argv[1]), "server")
file.write("server", "http://127.0.0.1:1")
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def holder(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that claims the server's file."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{HOLDER}", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_file_is_claimed_once_and_found_while_its_process_lives(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert claim(tmp_path, "server") is None
        (found,) = find_running(tmp_path)
        assert (found.role, found.pid, found.url) == ("server", process.pid, "http://127.0.0.1:1")
        process.kill()
        process.wait()
        assert find_running(tmp_path) == ()
        again = claim(tmp_path, "server")
        assert again is not None
        again.write("server", "")
        again.close()
    assert list((tmp_path / "run").iterdir()) == []


def test_folders_are_private(tmp_path: Path) -> None:
    file = claim(tmp_path / "data", "server")
    assert file is not None
    for folder in (tmp_path / "data", tmp_path / "data" / "run"):
        assert folder.stat().st_mode & 0o777 == 0o700
    file.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(RunFolderError, match="data"):
        claim(tmp_path / "data", "server")


@pytest.mark.parametrize("words", [(), ("deaf",)])
def test_stop_ends_it_gently_or_not(tmp_path: Path, words: tuple[str, ...]) -> None:
    with holder(tmp_path, *words) as process:
        started = time.monotonic()
        stop(find_running(tmp_path), timeout_seconds=1.0)
        assert process.wait(5) == -(signal.SIGKILL if words else signal.SIGTERM)
        assert time.monotonic() - started < 5


def test_a_stopped_process_is_woken_to_end(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        stop(find_running(tmp_path), timeout_seconds=5.0)
        assert process.wait(5) == -signal.SIGTERM


def test_a_stranger_with_the_same_number_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            started = psutil.Process(stranger.pid).create_time()
            stop([Running("server", stranger.pid, started - 100, "")], timeout_seconds=0.5)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_process_that_cannot_be_signalled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process, number: int) -> None:
        raise psutil.AccessDenied(self.pid)

    us = psutil.Process()
    monkeypatch.setattr(psutil.Process, "send_signal", refuse)
    with pytest.raises(StopFailedError, match=str(os.getpid())):
        stop([Running("server", os.getpid(), us.create_time(), "")], timeout_seconds=0.1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_file_that_is_half_written_is_nobody(tmp_path: Path, text: str) -> None:
    with holder(tmp_path):
        path = tmp_path / "run" / "server.json"
        whole = json.loads(path.read_text())
        path.write_text(text)
        assert find_running(tmp_path) == ()
        path.write_text(json.dumps(whole))
        assert find_running(tmp_path) == (replace(Running(**whole)),)
