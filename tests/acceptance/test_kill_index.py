"""Killed, stopped or interrupted at any moment, an index run loses and doubles nothing: the next one makes it whole."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from skep.store import EmbeddedServer
from tests.command import Command
from tests.levels import by_level
from tests.workspace import State, open_workspace, settings_for

pytestmark = pytest.mark.no_cover

ROUNDS = by_level(3, 30, 100)
"""Kills of each kind."""

FILES = by_level(150, 300)

DOUBLED = """
select 'version', d.path from document d join version v using (document_id)
where v.removed_at is null and v.version_id is distinct from d.version_id
union all
select 'blob', encode(sha256, 'hex') from blob b where not exists (select from version v where v.blob_sha256 = b.sha256)
union all
select 'chunk', encode(sha256, 'hex') from chunk c where not exists (select from placement where chunk_sha256 = c.sha256)
"""
"""What must not be left behind: living versions that no document has, and contents that nothing has."""


class Sandbox:
    """A folder under change, and the command that indexes it with a database that may be killed too."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "project"
        self.folder.mkdir(parents=True)
        self.command = Command(home / "data", self.folder, more={"SKEP_DATABASE_STATEMENT_TIMEOUT_SECONDS": "10"})
        self.server = EmbeddedServer(home / "data", idle_stop_seconds=600)
        self.random = random.Random(os.urandom(8))
        self.turn = 0
        self.seconds = 1.0
        """What a run of `change` takes."""

    def prepare(self) -> None:
        """Have everything indexed once, and learn how long a run takes."""
        for number in range(FILES):
            self._write(number)
        self.command("index", ".")
        self.change()
        begun = time.monotonic()
        self.command("index", ".")
        self.seconds = time.monotonic() - begun

    def change(self) -> None:
        """Edit a third, delete, move and copy some."""
        self.turn += 1
        for number in self.random.sample(range(FILES), FILES // 3):
            self._write(number)
        names = sorted(self.folder.rglob("*.py"))
        for file in self.random.sample(names, 20):
            file.unlink()
        names = sorted(self.folder.rglob("*.py"))
        for file in self.random.sample(names, 20):
            file.rename(file.with_name(f"moved_{self.turn}_{file.name}"[:200]))
        names = sorted(self.folder.rglob("*.py"))
        for file in self.random.sample(names, 10):
            shutil.copy2(file, self.folder / f"copy_{self.turn}_{file.name}"[:200])

    def _write(self, number: int) -> None:
        file = self.folder / f"part_{number % 7}" / f"module_{number}.py"
        file.parent.mkdir(exist_ok=True)
        body = "\n\n".join(
            f"def function_{number}_{part}():\n" + "\n".join(f"    x{line} = {line * self.turn}" for line in range(15))
            for part in range(4)
        )
        file.write_text(f"# turn {self.turn} of file {number}\n{body}\n")

    def wait_a_while(self) -> None:
        """Up to a random moment of a run."""
        time.sleep(self.random.uniform(0.1, self.seconds))

    def assert_whole(self) -> None:
        """A plain run now gives exactly what a build from scratch gives."""
        answer = self.command("index", ".", "--json").answer
        assert answer["files_failed"] == []
        verified = self.command("verify", "--json").answer
        assert verified["equal"], verified
        stored, clean, left_over = asyncio.run(self._look())
        assert stored == clean
        assert left_over == []

    async def _look(self) -> tuple[State, State, State]:
        home = self.command.data.parent
        async with open_workspace(None, home, settings_for(None, self.command.data)) as workspace:
            left_over = await workspace.rows(DOUBLED)
            stored, clean = await workspace.state(), await workspace.clean_state()
            # What was stored for comparison must not count as left over the next time.
            await workspace.execute("delete from collection where project_id <> %(p)s", p=workspace.who.project_id)
            await workspace.execute("delete from chunk where project_id <> %(p)s", p=workspace.who.project_id)
            await workspace.execute("delete from blob where project_id <> %(p)s", p=workspace.who.project_id)
            return stored, clean, left_over


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path_factory.mktemp("kill"))
    try:
        made.prepare()
        yield made
    finally:
        made.server.stop(20)


def the_whole_group(sandbox: Sandbox, run: subprocess.Popen[bytes]) -> None:
    os.killpg(run.pid, signal.SIGKILL)


def only_the_main_process(sandbox: Sandbox, run: subprocess.Popen[bytes]) -> None:
    run.kill()


def only_a_parser(sandbox: Sandbox, run: subprocess.Popen[bytes]) -> None:
    for child in _children(run):
        child.kill()


def the_postmaster(sandbox: Sandbox, run: subprocess.Popen[bytes]) -> None:
    pid = sandbox.server.status().pid
    if pid is not None:
        # One that is only starting ends by itself while processes of the one before still have its memory, and is started again.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(run.pid).children()
    except psutil.NoSuchProcess:
        return []


KILLS = (the_whole_group, only_the_main_process, only_a_parser, the_postmaster)


@pytest.mark.timeout(60 * ROUNDS)
@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.__name__)
def test_a_killed_run_is_made_whole_by_the_next(
    sandbox: Sandbox, kill: Callable[[Sandbox, subprocess.Popen[bytes]], None]
) -> None:
    for _ in range(ROUNDS):
        sandbox.change()
        run = sandbox.command.start("index", ".", "--json")
        workers = _children(run)
        sandbox.wait_a_while()
        workers += _children(run)
        kill(sandbox, run)
        run.communicate(timeout=50)
        assert run.returncode in (-signal.SIGKILL, 0, 4), run.returncode
        psutil.wait_procs(workers, timeout=10)
        assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
    # Each kill left something behind on which the next run built; now all of it together must be right.
    sandbox.assert_whole()


def _everything(skep: Command) -> set[tuple[str, str]]:
    """Path and text of every first passage: all have the word."""
    results = skep("search", "turn", "-k", "1000", "--json").answer["results"]
    return {(hit["path"], hit["text"]) for hit in results}


@pytest.mark.timeout(60 * ROUNDS)
def test_a_stopped_run_that_goes_on_later_changes_nothing_newer(sandbox: Sandbox, tmp_path: Path) -> None:
    """The other run has its own lexical index, as on a folder that two containers of one machine share."""
    address = sandbox.server.ensure_running().conninfo()
    url = f"postgresql://{address['user']}:{address['password']}@/{address['dbname']}?host={address['host']}"
    twin = Command(tmp_path / "data", sandbox.folder, url, more=sandbox.command.more)
    twin.data.mkdir(mode=0o700)
    for name in ("node.id", "admin.key"):
        shutil.copy2(sandbox.command.data / name, twin.data / name)
    for _ in range(max(1, ROUNDS // 3)):
        sandbox.change()
        stopped = sandbox.command.start("index", ".", "--json")
        sandbox.wait_a_while()
        os.killpg(stopped.pid, signal.SIGSTOP)
        sandbox.change()
        twin("index", ".", "--json")
        stored = _everything(twin)
        os.killpg(stopped.pid, signal.SIGCONT)
        stopped.communicate(timeout=50)
        assert stopped.returncode in (0, 4)
        assert twin("verify", "--json").answer["equal"]
        # What it had read before, and what was gone before anybody else saw it, may come in late; the next run takes it away.
        assert stored <= _everything(twin)
        assert twin("index", ".", "--json").answer["chunks_new"] == 0
        assert _everything(twin) == stored
    sandbox.assert_whole()


def test_an_interrupted_run_says_so_and_loses_nothing(sandbox: Sandbox) -> None:
    codes = []
    for share in (0.2, 0.5):
        sandbox.change()
        run = sandbox.command.start("index", ".")
        while run.poll() is None and not _children(run):
            time.sleep(0.01)
        time.sleep(sandbox.seconds * share / 2)
        os.killpg(run.pid, signal.SIGINT)
        out, err = run.communicate(timeout=50)
        # Python ends by the signal, which a shell tells as 130 too, when it came while the code of a module was made.
        code = 130 if run.returncode == -signal.SIGINT else run.returncode
        codes.append(code)
        # Enough was deleted by now that the index may be built anew, which it says.
        said = [line for line in err.splitlines() if not line.startswith(b"The lexical index of project is built anew")]
        if code == 130:
            assert (out, said) == (b"", [b"interrupted; nothing is lost, run it again to go on"]), share
        else:
            assert (code, said) == (0, []), share
    assert 130 in codes
    sandbox.assert_whole()
