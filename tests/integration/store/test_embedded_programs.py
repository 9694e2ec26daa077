"""Which programs the embedded PostgreSQL runs from, and as whom."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from skep.store.embedded import AccountMissingError, EmbeddedServer, ServerAddress
from skep.store.embedded.binaries import locate


def execute(address: ServerAddress, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(**address.conninfo()) as connection:  # type: ignore[arg-type]
        return connection.execute(statement.encode()).fetchall()


def program_of(server: EmbeddedServer) -> Path:
    pid = server.status().pid
    assert pid is not None
    return Path(psutil.Process(pid).cmdline()[0])


def test_run_as_must_exist_where_it_matters(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path, run_as="no-such-account")
    try:
        if os.geteuid() == 0:
            with pytest.raises(AccountMissingError, match="no-such-account"):
                server.ensure_running()
        else:
            assert execute(server.ensure_running(), "SELECT 1") == [(1,)]  # PostgreSQL runs as ourselves
    finally:
        server.stop(10)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every account may enter, as /var/lib is (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="skep-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)


def test_programs_in_a_closed_folder_are_copied_for_the_account_that_runs_them(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = locate()
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel.relative_to(wheel.parent.parent), Path(f"{wheel.parent.name}.libs")):
        if (wheel.parent.parent / part).exists():
            shutil.copytree(wheel.parent.parent / part, closed / part, copy_function=link_or_copy)
    programs = closed / wheel.relative_to(wheel.parent.parent)
    shared = open_folder / "shared"
    monkeypatch.setattr("skep.store.embedded.launch.locate", lambda: programs)
    monkeypatch.setattr("skep.store.embedded.binaries.SHARED_FOLDER", shared)

    server = EmbeddedServer(open_folder / "home")
    try:
        assert execute(server.ensure_running(), "SELECT '[1]'::vector <-> '[3]'") == [(2.0,)]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        if os.geteuid() == 0:
            copies = [path for path in shared.iterdir() if path.name.startswith("postgresql-18-")]
            assert [(path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) for path in copies] == [(0, 0o755)]
            assert program_of(server).is_relative_to(copies[0])
            server.restart(10)
            assert list(shared.iterdir()) == copies
        else:
            assert program_of(server) == programs / "bin" / "postgres"
            assert not shared.exists()
    finally:
        server.stop(10)
