"""The machines of these tests leave nothing behind, however the tests end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.serving import eventually
from tests.site import Site

_ROOT = Path(__file__).resolve().parents[3]

_MAKES_ONE = """
import subprocess, time
from tests.lan import lan
with lan("one") as made:
    (machine,) = made.machines
    left = subprocess.Popen([*machine.enter, "sleep", "1000"])
    print(machine.inside.shell.pid, made.switch.shell.pid, left.pid, flush=True)
    time.sleep(1000)
"""


def test_nothing_is_left_of_machines_whose_tests_were_killed(network: Site) -> None:
    # Other machines live at the same time, and go on.
    assert network.network.switch.shell.poll() is None
    program = [sys.executable, "-P", "-c", _MAKES_ONE]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(_ROOT)}
    ) as tests:
        assert tests.stdout is not None
        pids = [int(word) for word in tests.stdout.readline().split()]
        assert len(pids) == 3
        tests.kill()
    with eventually() as waits:
        while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            assert waits()
    assert network.network.switch.shell.poll() is None
    network.network.switch.run("ip link show br0")
