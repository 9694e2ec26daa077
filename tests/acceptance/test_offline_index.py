"""Nothing is downloaded at run time: the whole of it works where there is no network at all, not even loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep.store import EmbeddedServer
from tests.command import Command, write

pytestmark = pytest.mark.no_cover

FILES = {
    "src/store.py": "class Store:\n    def get(self):\n        return 'heron'\n",
    "src/a.ts": "export function heron(x: number) { return x }\n",
    "src/a.rs": "fn heron() -> i32 { 1 }\n",
    "docs/guide.rst": "Guide\n=====\n\nAbout the heron.\n",
}

NO_NETWORK = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-current-user", "--net")

WATCHED = """
import socket, sys
def watch(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and arguments[0].family != socket.AF_UNIX):
        with open(sys.argv[0], "a") as file:
            file.write(f"{event} {arguments[1:]!r}\\\\n")
sys.addaudithook(watch)
from skep.cli import main
main()
"""
"""Python's own part of the process tells of every address it connects to or looks up."""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Command]:
    """`skep` with its own database and without a network."""
    folder = tmp_path / "project"
    write(folder, FILES)
    yield Command(tmp_path / "data", folder, wrapper=NO_NETWORK)
    EmbeddedServer(tmp_path / "data").stop(20)


def test_there_is_really_no_way_out(alone: Command) -> None:
    script = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    done = subprocess.run([*NO_NETWORK, sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in done.stderr


def test_everything_works_without_a_network(alone: Command) -> None:
    assert alone("index", ".", "--json").answer["files_added"] == len(FILES)
    assert {hit["path"] for hit in alone("search", "heron", "--json").answer["results"]} == set(FILES)
    assert alone("similar", "src/a.ts:1", "--json").answer.keys() == {"results", "took_ms"}
    assert alone("status", "--json").answer["collections"][0]["lexical_state"] == "current"
    assert alone("verify", "--json").answer["equal"]
    assert alone("forget", "project", "docs", "--json").answer["documents"] == 1
    assert alone("purge", "project", "-y", "--json").answer["documents"] == len(FILES)


def test_no_address_is_looked_up_or_connected_to(alone: Command, tmp_path: Path) -> None:
    script, told = tmp_path / "watched.py", tmp_path / "told"
    script.write_text(WATCHED.replace('sys.argv[0], "a"', f'{str(told)!r}, "a"'))
    for arguments in (("index", "."), ("search", "heron"), ("verify",)):
        line = [sys.executable, "-P", str(script), "--data-dir", str(alone.data), *arguments]
        done = subprocess.run(
            line, cwd=alone.folder, env=alone.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done
    assert not told.exists(), told.read_text()
