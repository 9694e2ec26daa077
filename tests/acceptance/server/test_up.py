"""`skep up` as people run it: real processes, real HTTP, and what happens when parts of it die."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.levels import by_level
from tests.postgres import ScratchServer
from tests.serving import FAST, ONLY_JOBS, Start, Up, eventually, skep, starting

FILES = by_level(500, 1000)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data: Path, database_url: str) -> Iterator[Start]:
    """Servers that answer and do jobs, on a database of the test's own."""
    with starting(data, SKEP_DATABASE_URL=database_url, **ONLY_JOBS) as run:
        yield run


@pytest.fixture
def start_whole(data: Path) -> Iterator[Start]:
    """Servers as shipped: with everything they start, and the embedded database, which is stopped at the end."""
    with starting(data) as run:
        yield run
    down = skep(data, "down")
    assert down.code == 0, down.err


@pytest.fixture(scope="module")
def steady(scratch_server: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server for all tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("steady")
    with scratch_server.database() as url, starting(folder / "data", SKEP_DATABASE_URL=url, **ONLY_JOBS) as run:
        yield run()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "retry.py").write_text("class RetryPolicy:\n    attempts = 3\n")
    (folder / "guide.md").write_text("# Guide\n\nHow to configure a timeout.\n")
    return folder


def large_tree(folder: Path, files: int = FILES) -> Path:
    """So many files that indexing them takes some seconds."""
    for number in range(files):
        file = folder / f"part{number % 30}" / f"module_{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"def function_{number}_{line}():\n    return {line}\n\n" for line in range(30)))
    return folder


def submit(client: httpx.Client, folder: Path, name: str = "project") -> str:
    answer = client.post(f"/api/v1/collections/{name}/index", json={"path": str(folder)})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def watch(client: httpx.Client, job_id: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """The events of a job, as they come."""
    headers = {"last-event-id": str(after)} if after else {}
    with client.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as stream:
        assert stream.status_code == 200
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def wait_for(client: httpx.Client, job_id: str) -> dict[str, Any]:
    *_, last = watch(client, job_id)
    return last


def found(client: httpx.Client, query: str) -> set[str]:
    answer = client.post("/api/v1/search", json={"query": query})
    assert answer.status_code == 200, answer.text
    return {result["path"] for result in answer.json()["results"]}


@pytest.mark.measured
def test_index_watch_search_remove(start_whole: Start, tree: Path) -> None:
    up = start_whole()
    assert up.said["ready"], up.said
    assert (up.data.stat().st_mode & 0o777, Path(up.said["key_file"]).stat().st_mode & 0o777) == (0o700, 0o600)
    client = up.client()
    assert client.get("/readyz").json() == {"status": "ready", "database": "ok"}

    job_id = submit(client, tree)
    events = list(watch(client, job_id))
    assert events[-1]["state"] == "succeeded"
    assert [event["revision"] for event in events] == sorted({event["revision"] for event in events})
    assert client.get(f"/api/v1/jobs/{job_id}").json() == events[-1]
    assert found(client, "RetryPolicy") == {"retry.py"}

    assert client.delete("/api/v1/collections/project/documents/retry.py").json()["documents"] == 1
    assert "retry.py" not in found(client, "RetryPolicy")
    assert client.delete("/api/v1/collections/project").json()["collection"] == "project"
    assert client.get("/api/v1/collections").json() == {"collections": []}
    assert up.end() == 0
    log = up.log.read_text()
    assert "route=/api/v1/search status=200" in log
    assert "RetryPolicy" not in log
    assert up.key not in log


def test_strangers_are_kept_out(steady: Up) -> None:
    up, client = steady, steady.client()
    port = httpx.URL(up.url).port
    for headers, status, code in (
        ({"authorization": ""}, 401, "key_missing"),
        ({"authorization": "Bearer skep_000000000000_" + "a" * 49}, 401, "key_invalid"),
        ({"authorization": f"Bearer {up.key[:-1]}"}, 401, "key_invalid"),
        ({"authorization": f"Basic {up.key}"}, 401, "key_invalid"),
        ({"host": "evil.example"}, 403, "host_refused"),
        ({"host": f"evil.example:{port}"}, 403, "host_refused"),
        ({"origin": "http://evil.example"}, 403, "origin_refused"),
        ({"origin": f"http://localhost:{port}"}, 403, "origin_refused"),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403, "origin_refused"),
    ):
        answer = client.get("/api/v1/collections", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), headers
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/api/v1/collections", headers={"origin": up.url}).status_code == 200
    assert client.get("/api/v1/collections", headers={"host": f"localhost:{port}"}).status_code == 200
    assert client.get("/nowhere").json()["code"] == "route_not_found"
    assert client.put("/api/v1/search").headers["allow"] == "POST"
    assert client.post("/api/v1/search", content=b"x" * 3_000_000).status_code == 413
    assert client.get("/api/docs").status_code == 200
    # The server is still well.
    assert client.get("/healthz").status_code == 200


def test_nonsense_on_the_wire_does_no_harm(steady: Up) -> None:
    address = httpx.URL(steady.url)
    for raw in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 200_000):
        with socket.create_connection((address.host, address.port or 0), timeout=10) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            assert b" 200 " not in connection.recv(65_536)[:20]
    assert steady.client().get("/healthz").status_code == 200


def test_listening_beyond_this_machine_is_refused(data: Path) -> None:
    for host in ("0.0.0.0", "::"):
        done = skep(data, "up", "--host", host, "--json")
        assert done.code == 3
        assert done.answer["error"]["code"] == "remote_bind_refused"
        assert "server.tls_certificate" in done.answer["error"]["fix"]
    assert not data.exists() or not (data / "postgres").exists()


@pytest.mark.measured
def test_a_second_server_and_a_taken_port_are_said(steady: Up, tmp_path: Path) -> None:
    again = skep(steady.data, "up", "--port", "0", "--json")
    assert (again.code, again.answer["error"]["code"]) == (1, "server_running")
    assert steady.url in again.answer["error"]["message"]
    port = str(httpx.URL(steady.url).port)
    taken = skep(tmp_path / "other", "up", "--port", port, "--json")
    assert (taken.code, taken.answer["error"]["code"]) == (1, "port_taken")
    assert "--port" in taken.answer["error"]["fix"]


def test_two_server_processes_share_the_work_and_see_the_same_jobs(start: Start, tree: Path) -> None:
    up = start("--workers", "2")
    assert up.said["workers"] == 2
    servers = up.children("http")
    assert len(servers) == 2
    job_id = submit(up.client(), tree)
    # Connections of their own, so that both processes get some.
    for _ in range(8):
        assert wait_for(up.client(), job_id)["state"] == "succeeded"
    servers[0].kill()
    client = up.client()
    with eventually() as waits:
        while waits() and len(up.children("http")) < 2:
            pass
    for _ in range(20):
        assert up.client().get("/api/v1/collections").status_code == 200
    assert found(client, "RetryPolicy") == {"retry.py"}


def counted(up: Up) -> dict[str, float]:
    """What a scrape says, over a connection of its own: any of the processes answers."""
    answer = up.client().get("/metrics")
    assert answer.status_code == 200, answer.text
    lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_any_process_tells_what_all_counted_and_killed_ones_lose_nothing(start: Start, tree: Path) -> None:
    up = start("--workers", "2", METRICS_BACKEND="prometheus")
    assert wait_for(up.client(), submit(up.client(), tree))["state"] == "succeeded"
    searches = 'skep_http_requests_total{method="POST",route="/api/v1/search",status="200"}'
    expected = 0
    for victim in (0, 1, None):
        for _ in range(20):
            assert found(up.client(), "RetryPolicy") == {"retry.py"}
        expected += 20
        seen = [counted(up) for _ in range(10)]
        assert {values[searches] for values in seen} == {expected}
        assert {values['skep_search_duration_seconds_count{kind="search",outcome="found"}'] for values in seen} == {
            expected
        }
        assert seen[-1]["skep_http_requests_in_flight"] == 1
        assert seen[-1]["skep_database_up"] == 1
        assert seen[-1]['skep_collection_lag_changes{collection="project",follower="lexical"}'] == 0
        if victim is not None:
            servers = up.children("http")
            servers[victim].kill()
            with eventually() as waits:
                while waits() and len({*up.children("http")} - {servers[victim]}) < 2:
                    pass


def test_a_killed_worker_is_replaced_and_its_job_runs_again(start: Start, tmp_path: Path) -> None:
    up = start()
    client = up.client()
    job_id = submit(client, large_tree(tmp_path / "large"), "large")
    killed = False
    last: dict[str, Any] = {}
    for event in watch(client, job_id):
        last = event
        if event["state"] == "running" and event["progress"]["done"] > 100 and not killed:
            (worker,) = up.children("worker")
            worker.kill()
            killed = True
    assert killed, "it was too quick"
    assert (last["state"], last["attempts"]) == ("succeeded", 2), last
    status = client.get("/api/v1/collections/large").json()
    assert (status["files"], status["lexical_state"]) == (FILES, "current")
    verified = client.post("/api/v1/collections/large/verify").json()["job_id"]
    assert wait_for(client, verified)["result"]["equal"] is True


def test_a_running_job_is_cancelled(start: Start, tmp_path: Path) -> None:
    up = start()
    client = up.client()
    job_id = submit(client, large_tree(tmp_path / "large"), "large")
    asked = False
    last: dict[str, Any] = {}
    for event in watch(client, job_id):
        last = event
        if event["state"] == "running" and event["progress"]["done"] > 0 and not asked:
            assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 200
            asked = True
    assert asked
    assert last["state"] == "cancelled"
    # What was stored is right, and the next run does the rest.
    assert wait_for(client, submit(client, tmp_path / "large", "large"))["state"] == "succeeded"
    assert client.get("/api/v1/collections/large").json()["files"] == FILES


def test_the_database_goes_and_comes_back(start_whole: Start, tree: Path) -> None:
    up = start_whole(**ONLY_JOBS)
    client = up.client()
    wait_for(client, submit(client, tree))
    postmaster = int((up.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    statuses: list[int] = []
    with eventually(30) as waits:
        while waits() and (not statuses or statuses[-1] != 200):
            answer = client.post("/api/v1/search", json={"query": "RetryPolicy"})
            statuses.append(answer.status_code)
            if answer.status_code != 200:
                problem = answer.json()
                assert (answer.status_code, problem["status"]) == (503, 503), problem
                assert problem["detail"]
    assert found(client, "RetryPolicy") == {"retry.py"}
    with eventually() as waits:
        while waits() and client.get("/readyz").status_code != 200:
            pass
    # The worker found its way back too.
    (tree / "more.py").write_text("class CircuitBreaker:\n    pass\n")
    assert wait_for(client, submit(client, tree))["state"] == "succeeded"
    assert found(client, "CircuitBreaker") == {"more.py"}


def test_a_server_without_its_database_says_so(start: Start) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        up = start(SKEP_DATABASE_URL=f"postgresql://me:hunter2@127.0.0.1:{port}/skep")
        assert up.said["ready"] is False
        assert up.said["reason"]
        with httpx.Client(base_url=up.url, timeout=30) as client:
            assert client.get("/healthz").status_code == 200
            for path in ("/readyz", "/api/v1/collections"):
                answer = client.get(path, headers={"authorization": "Bearer x"})
                assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
                assert f"127.0.0.1:{port}" in answer.json()["detail"]
                assert "hunter2" not in answer.text
    assert up.end() == 0
    assert "hunter2" not in up.log.read_text()


@pytest.mark.measured
def test_down_stops_everything(start_whole: Start, data: Path, tree: Path) -> None:
    up = start_whole()
    client = up.client()
    wait_for(client, submit(client, tree))
    family = psutil.Process(up.process.pid).children(recursive=True)
    done = skep(data, "down", "--json")
    assert done.code == 0
    assert {process["role"] for process in done.answer["processes"]} == {"server", "worker", "embedder"}
    assert done.answer["database"] is True
    assert up.process.wait(5) == 0
    assert not [process for process in family if process.is_running()]
    again = skep(data, "down", "--json")
    assert (again.code, again.answer) == (0, {"processes": [], "database": False})
    with pytest.raises(httpx.ConnectError):
        client.get("/healthz")


@pytest.mark.full
def test_children_of_a_killed_server_end_by_themselves(start_whole: Start, data: Path) -> None:
    up = start_whole()
    with eventually() as waits:
        while waits() and not up.children("worker"):
            pass
    family = up.children("http") + up.children("worker")
    up.process.kill()
    gone, alive = psutil.wait_procs(family, timeout=FAST)
    assert alive == []
    assert len(gone) == 2
    assert start_whole().said["ready"]


def test_an_open_stream_does_not_hold_the_server_up(start: Start, tmp_path: Path) -> None:
    up = start()
    for child in up.children("worker"):
        child.kill()
    client = up.client()
    events = watch(client, submit(client, large_tree(tmp_path / "large", 300), "large"))
    next(events)
    started = time.monotonic()
    assert up.end() == 0
    assert time.monotonic() - started < 12
    assert list(events) is not None


@pytest.mark.measured
def test_doctor(start_whole: Start, data: Path) -> None:
    first = skep(data, "doctor", "--json")
    assert (first.code, first.answer["healthy"]) == (0, True), first.out
    assert not data.exists(), "the doctor changes nothing"
    up = start_whole()
    checks = {check["name"]: check for check in skep(data, "doctor", "--json").answer["checks"]}
    assert up.url in checks["server"]["detail"]
    assert checks["database"]["state"] == "ok"
    Path(up.said["key_file"]).chmod(0o644)
    sick = skep(data, "doctor")
    assert sick.code == 1
    assert "fail  key:" in sick.out
    assert "chmod 600" in sick.out
    Path(up.said["key_file"]).chmod(0o600)
    assert skep(data, "down").code == 0
    stopped = skep(data, "doctor", "--json")
    assert stopped.code == 0
    (embedded,) = [check for check in stopped.answer["checks"] if check["name"] == "embedded database"]
    assert "stopped" in embedded["detail"]
    assert skep(data, "down", "--json").answer["database"] is False, "the doctor must not start the database"


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"SKEP_DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/skep"}, "database"),
        ({"SKEP_SERVER_PORT": "many"}, "settings"),
    ],
)
def test_doctor_names_what_is_broken(data: Path, more: dict[str, str], name: str) -> None:
    done = skep(data, "doctor", "--json", **more)
    assert (done.code, done.answer["healthy"]) == (1, False)
    (failed,) = [check for check in done.answer["checks"] if check["state"] == "fail"]
    assert failed["name"] == name
    assert failed["fix"]
    assert "hunter2" not in done.out + done.err


@pytest.mark.measured
def test_a_worker_of_its_own(steady: Up) -> None:
    command = [sys.executable, "-m", "skep", "--data-dir", str(steady.data), "worker", "--concurrency", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=steady.environment) as worker:
        with eventually() as waits:
            while waits() and len(list((steady.data / "run").glob("worker-*.json"))) < 2:
                pass
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert steady.client().get("/readyz").status_code == 200
