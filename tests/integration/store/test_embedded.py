"""The embedded PostgreSQL as real processes: started by many, killed, stopped, left alone, and found intact."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

import skep
from skep.store.embedded import (
    DatabaseFolderError,
    DataVersionError,
    EmbeddedServer,
    PasswordMissingError,
    RunState,
    ServerAddress,
    ServerNotAnsweringError,
    ServerStartError,
)

ServerMaker = Callable[..., EmbeddedServer]

START_AND_PRINT = """
import sys
from pathlib import Path
from skep.store.embedded import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).ensure_running().host)
"""

KILL_WITHOUT_REAPING = """
import ctypes, os, signal, sys, time
from pathlib import Path
import psutil
from skep.store.embedded import EmbeddedServer
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us, and we never reap them
home = Path(sys.argv[1])
server = EmbeddedServer(home, start_timeout_seconds=20)
server.ensure_running()
postmaster = server.status().pid
supervisor = int((home / "postgres" / "supervisor.lock").read_text())
os.kill(supervisor, signal.SIGKILL)
os.kill(postmaster, signal.SIGKILL)
for _ in range(200):
    if sys.platform != "linux" or psutil.Process(postmaster).status() == psutil.STATUS_ZOMBIE:
        break
    time.sleep(0.01)
else:
    raise SystemExit("no zombie")
named = (home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
assert int(named) == postmaster, named
server.ensure_running()
assert server.status().pid != postmaster
"""


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for the tests that need no first start; each finds its server stopped and leaves it so."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def make_server() -> Iterator[ServerMaker]:
    """Makes servers and ends them, and whatever else of theirs still runs, after the test."""
    made: list[EmbeddedServer] = []

    def make(home: Path, *, idle_stop_seconds: float = 0, start_timeout_seconds: float = 20) -> EmbeddedServer:
        server = EmbeddedServer(home, idle_stop_seconds=idle_stop_seconds, start_timeout_seconds=start_timeout_seconds)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop(10)


def execute(address: ServerAddress, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(**address.conninfo(), autocommit=True) as connection:  # type: ignore[arg-type]
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def supervisor_pid(home: Path) -> int:
    return int((home / "postgres" / "supervisor.lock").read_text())


def postmaster_pid(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def run_script(script: str, home: Path) -> subprocess.Popen[str]:
    source = str(Path(skep.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_first_start_gives_a_database_with_vectors_to_an_ordinary_role(
    tmp_path: Path, make_server: ServerMaker
) -> None:
    server = make_server(tmp_path)
    assert server.status().state is RunState.STOPPED
    address = server.ensure_running()

    role = execute(address, "SELECT current_user, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
    assert role == [("skep", False, False)]
    assert execute(address, "SELECT '[1,2]'::halfvec(2) <-> '[1,3]', lower('ÄÖ'), current_database()") == [
        (1.0, "äö", "skep")
    ]
    execute(address, "CREATE TABLE kept (n int)")
    assert execute(
        server.admin_address(), "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
    ) == [("postgres", True)]
    status = server.status()
    assert status.state is RunState.RUNNING
    assert status.version is not None
    assert re.fullmatch(r"18\.\d+", status.version)
    assert status.since is not None
    assert status.since.tzinfo is not None
    assert status.data_bytes is not None
    assert status.data_bytes > 10_000_000
    assert address.password not in repr(address)


def test_settings_keep_data_safe_and_the_network_out(shared_home: Path, make_server: ServerMaker) -> None:
    wanted = {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "unix_socket_permissions": "0700",
        "TimeZone": "UTC",
        "jit": "off",
        "max_connections": "200",
        "server_encoding": "UTF8",
    }
    address = make_server(shared_home).ensure_running()
    found = execute(address, "SELECT name, setting FROM pg_settings")
    assert {str(name): str(value) for name, value in found if name in wanted} == wanted


def test_files_are_for_the_owner_and_folders_above_stay_as_they_are(tmp_path: Path, make_server: ServerMaker) -> None:
    above = tmp_path / "closed"
    above.mkdir(mode=0o700)
    home = above / "data"
    home.mkdir(mode=0o750)
    before = [(mode(path), path.stat().st_uid) for path in (above, home)]

    address = make_server(home).ensure_running()

    assert [(mode(path), path.stat().st_uid) for path in (above, home)] == before
    folder = home / "postgres"
    assert mode(folder) == (0o710 if os.geteuid() == 0 else 0o700)
    assert folder.stat().st_uid == os.geteuid()
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "data": 0o700,
        "socket": 0o700,
        "lock": 0o600,
        "password": 0o600,
        "superuser.password": 0o600,
        "server.log": 0o600,
        "supervisor.lock": 0o600,
    }
    # PostgreSQL runs as an account without rights, whoever we are.
    assert psutil.Process(postmaster_pid(make_server(home))).uids().real != 0
    assert execute(address, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("role", ["skep", "postgres"])
def test_a_wrong_password_is_refused(role: str, shared_home: Path, make_server: ServerMaker) -> None:
    address = make_server(shared_home).ensure_running().conninfo()
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**address | {"user": role, "password": password})  # type: ignore[arg-type]
    rules = (shared_home / "postgres" / "data" / "pg_hba.conf").read_text()
    methods = {line.split()[-1] for line in rules.splitlines() if line.strip() and not line.startswith("#")}
    assert methods == {"scram-sha-256"}


def test_eight_processes_at_once_start_one_server_that_outlives_them(tmp_path: Path, make_server: ServerMaker) -> None:
    server = make_server(tmp_path)
    starters = [run_script(START_AND_PRINT, tmp_path) for _ in range(8)]
    answers = [(starter.communicate(timeout=30)[0], starter.returncode) for starter in starters]

    address = server.ensure_running()
    assert answers == [(f"{address.host}\n", 0)] * 8
    assert execute(address, "SELECT 1") == [(1,)]
    log = (tmp_path / "postgres" / "server.log").read_text()
    assert log.count("ready to accept connections") == 1
    postmaster = psutil.Process(postmaster_pid(server))
    assert postmaster.ppid() == supervisor_pid(tmp_path)
    assert os.getsid(postmaster.pid) not in {starter.pid for starter in starters} | {os.getsid(0)}


def test_a_killed_postmaster_is_replaced_and_what_was_committed_is_there(
    shared_home: Path, make_server: ServerMaker
) -> None:
    server = make_server(shared_home)
    execute(server.ensure_running(), "DROP TABLE IF EXISTS kept; CREATE TABLE kept (n int)")
    for n in range(3):
        connection = psycopg.connect(**server.ensure_running().conninfo())  # type: ignore[arg-type]
        connection.execute("INSERT INTO kept VALUES (%s)", (n,))
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (99)")
        os.kill(postmaster_pid(server), signal.SIGKILL)
        assert execute(server.ensure_running(), "SELECT n FROM kept ORDER BY n") == [(known,) for known in range(n + 1)]
        connection.close()


def test_both_killed_at_once(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home)
    execute(server.ensure_running(), "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 1 AS n")
    for pid in (supervisor_pid(shared_home), postmaster_pid(server)):
        os.kill(pid, signal.SIGKILL)
    assert execute(server.ensure_running(), "SELECT n FROM kept") == [(1,)]


def test_a_server_whose_supervisor_was_killed_goes_on_and_is_adopted(
    shared_home: Path, make_server: ServerMaker
) -> None:
    server = make_server(shared_home, idle_stop_seconds=1)
    server.ensure_running()
    before, orphaned = postmaster_pid(server), supervisor_pid(shared_home)
    os.kill(orphaned, signal.SIGKILL)
    wait_until(lambda: psutil.Process(before).ppid() != orphaned)

    assert execute(server.ensure_running(), "SELECT 1") == [(1,)]
    assert postmaster_pid(server) == before
    wait_until(lambda: supervisor_pid(shared_home) != orphaned)
    wait_until(lambda: server.status().state is RunState.STOPPED)  # the new supervisor watches it, too
    assert "no session for 1 s: stopping" in (shared_home / "postgres" / "server.log").read_text()


def test_a_zombie_postmaster_does_not_count_as_a_server(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home)
    script = run_script(KILL_WITHOUT_REAPING, shared_home)
    said, _ = script.communicate(timeout=30)
    assert (said, script.returncode) == ("", 0)
    assert execute(server.ensure_running(), "SELECT 1") == [(1,)]


def test_a_stranger_with_the_old_process_id_is_neither_feared_nor_harmed(
    shared_home: Path, make_server: ServerMaker
) -> None:
    server = make_server(shared_home)
    server.ensure_running()
    os.kill(supervisor_pid(shared_home), signal.SIGKILL)
    os.kill(postmaster_pid(server), signal.SIGKILL)
    account = (shared_home / "postgres" / "data").stat().st_uid
    # Of the same account, so that PostgreSQL itself would take it for the old postmaster.
    stranger = subprocess.Popen(["sleep", "60"], user=account if os.geteuid() == 0 else None)
    try:
        claim = shared_home / "postgres" / "data" / "postmaster.pid"
        claim.write_text("\n".join([str(stranger.pid), *claim.read_text().split("\n")[1:]]))
        assert server.stop(5) is False
        assert server.ensure_running().dbname == "skep"
        assert server.stop(5) is True
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_stopped_postmaster_is_named_and_can_be_ended(shared_home: Path, make_server: ServerMaker) -> None:
    make_server(shared_home).ensure_running()
    server = make_server(shared_home, start_timeout_seconds=0.5)
    pid = postmaster_pid(server)
    os.kill(pid, signal.SIGSTOP)

    with pytest.raises(ServerNotAnsweringError) as caught:
        server.ensure_running()
    assert caught.value.fields["pid"] == pid
    assert "SIGSTOP" in str(caught.value)
    assert "skep down" in caught.value.fix_text
    assert server.status().state is RunState.NOT_ANSWERING

    assert server.stop(10) is True
    assert not psutil.pid_exists(pid)
    assert server.stop(10) is False


def test_a_stopped_supervisor_is_ended_with_its_server(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home)
    server.ensure_running()
    for pid in (supervisor_pid(shared_home), postmaster_pid(server)):
        os.kill(pid, signal.SIGSTOP)
    assert server.stop(10) is True
    assert execute(server.ensure_running(), "SELECT 1") == [(1,)]


def test_a_process_of_a_killed_server_keeps_the_next_one_out(shared_home: Path, make_server: ServerMaker) -> None:
    """Two servers on the same data would destroy it: the old one's last query must have ended first."""
    make_server(shared_home).ensure_running()
    server = make_server(shared_home, start_timeout_seconds=1)
    connection = psycopg.connect(**server.ensure_running().conninfo(), autocommit=True)  # type: ignore[arg-type]
    backend = connection.info.backend_pid

    def compute() -> None:
        # It never waits, so it does not notice that its postmaster is gone.
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b")

    query = threading.Thread(target=compute)
    query.start()
    wait_until(lambda: psutil.Process(backend).status() == psutil.STATUS_RUNNING)
    os.kill(postmaster_pid(server), signal.SIGKILL)

    with pytest.raises(ServerNotAnsweringError) as caught:
        server.ensure_running()
    assert caught.value.fields["pid"] == backend
    assert server.stop(10) is True
    query.join(10)
    connection.close()
    assert execute(make_server(shared_home).ensure_running(), "SELECT 1") == [(1,)]


def test_a_server_nobody_uses_stops_and_comes_back(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home, idle_stop_seconds=1)
    with psycopg.connect(**server.ensure_running().conninfo()):  # type: ignore[arg-type]
        pid = postmaster_pid(server)
        time.sleep(1.6)
        assert server.status().state is RunState.RUNNING  # an open session keeps it
    wait_until(lambda: server.status().state is RunState.STOPPED)
    assert not psutil.pid_exists(pid)  # reaped, not a zombie
    assert execute(server.ensure_running(), "SELECT 1") == [(1,)]


def test_clients_that_meet_a_server_going_down_get_the_next_one(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home)
    server.ensure_running()
    refused: list[str] = []
    ended = threading.Event()

    def connect() -> str:
        try:
            return str(execute(server.ensure_running(), "SELECT 1"))
        except psycopg.OperationalError as error:  # it stopped between our asking and connecting
            return str(error)

    def connect_again_and_again() -> None:
        while not ended.is_set():
            said: list[str] = []
            while "[(1,)]" not in said and len(said) < 5:
                said.append(connect())
            refused.extend(said if "[(1,)]" not in said else [])

    clients = [threading.Thread(target=connect_again_and_again) for _ in range(3)]
    for client in clients:
        client.start()
    for _ in range(4):
        time.sleep(0.2)
        server.stop(10)
    ended.set()
    for client in clients:
        client.join(20)
    assert refused == []


def test_a_path_too_long_for_a_socket(tmp_path: Path, make_server: ServerMaker) -> None:
    home = tmp_path / ("long" * 30) / ("longer" * 20)
    server = make_server(home)
    address = server.ensure_running()
    try:
        assert len(f"{address.host}/.s.PGSQL.5432") <= 103
        assert execute(address, "SELECT 1") == [(1,)]
        assert mode(Path(address.host).parent) == 0o700
        assert server.status().state is RunState.RUNNING
    finally:
        server.stop(10)
        Path(address.host).unlink()


def test_an_interrupted_first_start_leaves_nothing(tmp_path: Path, make_server: ServerMaker) -> None:
    folder = tmp_path / "postgres"
    starter = run_script(START_AND_PRINT, tmp_path)
    wait_until(lambda: any(folder.glob("data.new-*/PG_VERSION")))
    os.killpg(starter.pid, signal.SIGKILL)
    starter.communicate(timeout=10)
    assert not (folder / "data").exists()

    address = make_server(tmp_path).ensure_running()
    assert execute(address, "SELECT 1") == [(1,)]
    assert not [path.name for path in folder.iterdir() if ".new" in path.name]


def test_other_data_is_refused_with_a_way_out(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home)
    server.ensure_running()
    server.stop(10)
    data = shared_home / "postgres" / "data"
    password = shared_home / "postgres" / "password"

    settings = (data / "postgresql.conf").read_text()
    (data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerStartError, match="no_such_setting"):
        server.ensure_running()
    (data / "postgresql.conf").write_text(settings)

    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataVersionError, match="PostgreSQL 17; this Skep brings PostgreSQL 18"):
        server.ensure_running()
    (data / "PG_VERSION").write_text("18\n")

    kept = password.read_text()
    password.unlink()
    with pytest.raises(PasswordMissingError, match="password"):
        server.ensure_running()
    password.write_text(kept)
    assert execute(server.restart(10), "SELECT 1") == [(1,)]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, make_server: ServerMaker) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseFolderError, match=str(tmp_path / "file")) as caught:
        make_server(tmp_path / "file" / "below").ensure_running()
    assert "SKEP_HOME" in caught.value.fix_text


def test_asking_for_a_running_server_is_quick(shared_home: Path, make_server: ServerMaker) -> None:
    server = make_server(shared_home)
    server.ensure_running()
    times = []
    for _ in range(9):
        begun = time.perf_counter()
        server.ensure_running()
        times.append(time.perf_counter() - begun)
    assert sorted(times)[4] < 0.015
