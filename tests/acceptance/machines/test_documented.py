"""The page about several machines, done as it says: each of its blocks is run, with the address of the database at hand."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.machines.conftest import SETTINGS
from tests.command import SOURCE
from tests.serving import eventually
from tests.site import Host, Site

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "run-on-several-machines.md"
URL = "postgresql://skep:secret@10.77.0.1/skep"


def line_of(host: Host, text: str, bin_folder: Path) -> dict[str, Any]:
    """How a block is run on a machine, where `skep` is a command."""
    bin_folder.mkdir(exist_ok=True)
    program = bin_folder / "skep"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m skep --data-dir "{host.skep.data}" "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in host.skep.environment.items() if name != "SKEP_DATABASE_URL"}
    environment = {**kept, "PYTHONPATH": SOURCE, "PATH": f"{bin_folder}:{kept['PATH']}", "SKEP_WATCH_ENABLED": "false"}
    assert host.skep.url is not None
    text = text.replace(URL, host.skep.url)
    return {"args": [*host.machine.enter, "sh", "-euc", text], "env": environment, "cwd": bin_folder.parent}


@contextmanager
def started(host: Host, block: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A block that ends with `skep up`, until it is told to end; what it said."""
    assert block.endswith("skep doctor\nskep up\n")
    assert URL in block
    text = block.replace("skep doctor\n", "skep doctor >&2\n").replace("skep up\n", "exec skep up --port 0 --json\n")
    with subprocess.Popen(**line_of(host, text, folder / "bin"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


@pytest.mark.full
@pytest.mark.timeout(120)
def test_each_block_of_the_page_was_run(network: Site, tmp_path: Path) -> None:
    first_block, other_block, status_block = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with network.installation(SETTINGS) as made:
        shown = status_block.rstrip() + " --json"
        folders = [tmp_path / "one", tmp_path / "other"]
        for folder in folders:
            folder.mkdir()
            shutil.copy2(made.hosts[0].settings, folder / "skep.yaml")
        one, other = made.hosts
        with started(one, first_block, folders[0]) as first:
            assert first["ready"] is True
            shutil.copy2(one.skep.data / "admin.key", folders[1])
            with started(other, other_block, folders[1]) as second:
                assert second["ready"] is True
                for host, folder in zip((one, other), folders, strict=True):
                    text = f"export SKEP_DATABASE_URL={URL}; export SKEP_KEY=$(cat {folders[1]}/admin.key)\n{shown}"
                    with eventually() as waits:
                        while True:
                            line = line_of(host, text, folder / "bin")
                            done = subprocess.run(**line, capture_output=True, text=True, check=True, timeout=40)
                            if len(json.loads(done.stdout)["processes"]) == len(folders):
                                break
                            assert waits(), done.stdout
