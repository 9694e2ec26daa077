"""The HTTP API on a real database: every route, as each role, with its refusals."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from skep.access import Role
from skep.access.keys import key_hmac, new_key
from skep.app import Skep, job_handlers, open_skep
from skep.cli.knowledge_output import search_object
from skep.jobs import Worker, WorkerOptions, queue_of
from skep.knowledge import SearchRequest
from skep.server.application import make_application, make_opening
from skep.server.opening import Opening
from skep.terminal import to_json
from tests.workspace import settings_for

BASE = "http://127.0.0.1:7117"

NEW_KEY = """
insert into api_key (key_id, project_id, name, role, secret_hmac)
values (%(key_id)s, %(project_id)s, %(name)s, %(role)s, %(secret_hmac)s)
"""


@dataclass
class Api:
    """The application, opened, and a client for each role."""

    skep: Skep
    opening: Opening
    folder: Path
    transport: httpx.ASGITransport
    keys: dict[str, str]

    async def call(
        self, method: str, path: str, body: object = None, *, role: str = "admin", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.keys[role]}"} | (headers or {})
        async with httpx.AsyncClient(transport=self.transport, base_url=BASE, timeout=30) as client:
            content = None if body is None else json.dumps(body).encode()
            return await client.request(method, path, content=content, headers=sent)

    async def json(self, method: str, path: str, body: object = None, *, role: str = "admin", status: int = 200) -> Any:
        answer = await self.call(method, path, body, role=role)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def events(self, job_id: str, **headers: str) -> list[dict[str, str]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.call("GET", f"/api/v1/jobs/{job_id}/events", headers=sent)
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in answer.text.split("\n\n") if block and not block.startswith(":")]
        return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]

    async def index(self, name: str = "project", **body: str) -> dict[str, Any]:
        """Index as a job, and wait for its end."""
        job = await self.json("POST", f"/api/v1/collections/{name}/index", body, status=202)
        events = await self.events(job["job_id"])
        assert events[-1]["event"] == "end"
        done: dict[str, Any] = json.loads(events[-1]["data"])
        assert done["state"] == "succeeded", done
        return done


@asynccontextmanager
async def worker_of(skep: Skep) -> AsyncIterator[None]:
    worker = Worker(skep.database, job_handlers(skep), WorkerOptions(queues=(queue_of(skep.node),)))
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(task, 15)


async def _keys(skep: Skep) -> dict[str, str]:
    who = await skep.local_principal()
    keys = {"admin": skep.access.key_file.read_text().strip()}
    ((pepper,),) = await skep.database.fetch_tuples(
        b"select key_pepper from project where project_id = %(id)s", {"id": who.project_id}
    )
    roles: tuple[Role, ...] = ("member", "reader")
    for role in roles:
        key = new_key()
        keys[role] = key.text
        bound = {"key_id": key.key_id, "project_id": who.project_id, "name": role, "role": role}
        await skep.database.execute(NEW_KEY.encode(), bound | {"secret_hmac": key_hmac(key, pepper)})
    return keys


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    settings = settings_for(database_url, tmp_path / "data")
    opening = make_opening(settings, notice=lambda _: None)
    holding = asyncio.create_task(opening.hold())
    await asyncio.wait_for(opening.tried.wait(), 20)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "retry.py").write_text("class RetryPolicy:\n    def wait_seconds(self) -> float:\n        return 1.5\n")
    (folder / "guide.md").write_text("# Guide\n\nHow to configure the timeout of a session.\n")
    transport = httpx.ASGITransport(make_application(opening, settings))
    try:
        async with worker_of(opening.skep):
            yield Api(opening.skep, opening, folder, transport, await _keys(opening.skep))
    finally:
        opening.end()
        await asyncio.wait_for(holding, 15)


async def test_index_search_and_see(api: Api) -> None:
    done = await api.index(path=str(api.folder))
    (report,) = done["result"]["reports"]
    assert (report["files_added"], report["collection"], done["attempts"]) == (2, "project", 1)

    found = await api.json("POST", "/api/v1/search", {"query": "RetryPolicy", "top_k": 1}, role="reader")
    (result,) = found["results"]
    assert (result["path"], result["collection"], result["language"]) == ("retry.py", "project", "python")
    assert "explanation" not in result
    assert found["took_ms"] > 0

    (status,) = (await api.json("GET", "/api/v1/collections", role="reader"))["collections"]
    assert (status["files"], status["lexical_state"], status["languages"]) == (
        2,
        "current",
        {"markdown": 1, "python": 1},
    )
    assert await api.json("GET", "/api/v1/collections/project") == status


async def test_a_question_is_answered_with_quotes_or_not_at_all(api: Api) -> None:
    await api.index(path=str(api.folder))
    asked = {"question": "How do I configure a session timeout?"}
    answer = await api.json("POST", "/api/v1/ask", asked, role="reader")
    quote = answer["quotes"][0]
    assert (answer["kind"], answer["is_answered"], quote["number"]) == ("extractive", True, 1)
    assert (quote["path"], quote["start_line"], quote["end_line"]) == ("guide.md", 3, 3)
    assert quote["text"] == "How to configure the timeout of a session."
    assert quote["version"] == hashlib.sha256((api.folder / "guide.md").read_bytes()).hexdigest()
    nothing = await api.json("POST", "/api/v1/ask", {"question": "Who won the football world cup?"}, role="reader")
    assert (nothing["is_answered"], nothing["quotes"]) == (False, [])
    unknown = await api.call("POST", "/api/v1/ask", asked | {"collections": ["nowhere"]}, role="reader")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "collection_not_found")
    assert (await api.call("POST", "/api/v1/ask", {"question": "?"}, role="reader")).json()["code"] == "query_empty"
    assert (await api.call("POST", "/api/v1/ask", asked | {"most_quotes": 0}, role="reader")).status_code == 422


async def test_http_and_the_command_line_say_the_same(api: Api) -> None:
    await api.index(path=str(api.folder))
    found = await api.json("POST", "/api/v1/search", {"query": "session timeout", "explain": True})
    request = SearchRequest(query="session timeout", explain=True)
    response = await api.skep.knowledge.search(await api.skep.local_principal(), request)
    said = json.loads(to_json(search_object(response)))
    assert found["results"] == said["results"]
    assert found.keys() == said.keys()
    assert found["results"][0]["explanation"]


BAD_SEARCHES: list[tuple[dict[str, object], int, str]] = [
    ({}, 422, "body_invalid"),
    ({"query": "x", "topk": 3}, 422, "body_invalid"),
    ({"query": 7}, 422, "body_invalid"),
    ({"query": "..."}, 422, "query_empty"),
    ({"query": "x" * 70_000}, 422, "query_too_long"),
    ({"query": "x" * 2_000_000}, 413, "body_too_large"),
    ({"query": "x", "top_k": 0}, 422, "top_k_out_of_range"),
    ({"query": "x", "top_k": 1_000_000}, 422, "top_k_out_of_range"),
    ({"query": "x", "kinds": ["poem"]}, 422, "unknown_filter"),
    ({"query": "x", "languages": ["klingon"]}, 422, "unknown_filter"),
    ({"query": "x", "collections": ["nothing"]}, 404, "collection_not_found"),
    ({"query": "x", "modified_since": "yesterday"}, 422, "body_invalid"),
    ({"query": "x", "modified_since": "2026-01-01T00:00:00"}, 422, "body_invalid"),
]


async def test_bad_searches_explain_themselves(api: Api) -> None:
    await api.index(path=str(api.folder))
    for body, status, code in BAD_SEARCHES:
        answer = await api.call("POST", "/api/v1/search", body)
        found = answer.json()
        assert (answer.status_code, found["code"]) == (status, code), str(body)[:100]
        assert found["detail"]
        assert found["fix"]


async def test_filters(api: Api) -> None:
    await api.index(path=str(api.folder))

    async def paths(**filters: object) -> set[str]:
        found = await api.json("POST", "/api/v1/search", {"query": "seconds session timeout RetryPolicy"} | filters)
        return {result["path"] for result in found["results"]}

    assert await paths() == {"retry.py", "guide.md"}
    assert await paths(kinds=["docs"]) == {"guide.md"}
    assert await paths(languages=["python"]) == {"retry.py"}
    assert await paths(path="*.md") == {"guide.md"}
    assert await paths(modified_until="2001-01-01T00:00:00Z") == set()
    assert await paths(modified_since="2001-01-01T00:00:00Z") == {"retry.py", "guide.md"}


async def test_similar(api: Api) -> None:
    (api.folder / "retry_too.py").write_text(
        "class RetryPolicyToo:\n    def wait_seconds(self) -> float:\n        return 2\n"
    )
    await api.index(path=str(api.folder))
    found = await api.json("GET", "/api/v1/collections/project/similar?location=retry.py:2&top_k=1", role="reader")
    assert [result["path"] for result in found["results"]] == ["retry_too.py"]
    for query, status in (
        ("location=retry.py", 422),
        ("location=none.py:1", 404),
        ("", 422),
        ("location=a:1&x=1", 422),
    ):
        assert (await api.call("GET", f"/api/v1/collections/project/similar?{query}")).status_code == status


async def test_collections_are_made_and_purged(api: Api) -> None:
    made = await api.call("POST", "/api/v1/collections", {"name": "notes"}, role="member")
    assert (made.status_code, made.headers["location"]) == (201, "/api/v1/collections/notes")
    assert made.json()["chunks"] == 0
    assert (await api.call("POST", "/api/v1/collections", {"name": "../x"})).json()["code"] == "collection_name"
    assert (await api.call("DELETE", "/api/v1/collections/notes", role="member")).json()["code"] == "role_too_low"
    assert (await api.json("DELETE", "/api/v1/collections/notes"))["collection"] == "notes"
    assert (await api.call("GET", "/api/v1/collections/notes")).status_code == 404
    assert (await api.call("DELETE", "/api/v1/collections/notes")).status_code == 404


async def test_documents_are_forgotten_or_purged(api: Api) -> None:
    await api.index(path=str(api.folder))
    forgotten = await api.json("DELETE", "/api/v1/collections/project/documents/retry.py", role="member")
    assert forgotten["documents"] == 1
    found = await api.json("POST", "/api/v1/search", {"query": "RetryPolicy"})
    assert {result["path"] for result in found["results"]} <= {"guide.md"}
    gone = "/api/v1/collections/project/documents/retry.py"
    assert (await api.call("DELETE", gone)).json()["code"] == "document_not_found"
    purge = "/api/v1/collections/project/documents/guide.md?mode=purge"
    assert (await api.call("DELETE", purge, role="member")).json()["code"] == "role_too_low"
    assert (await api.json("DELETE", purge))["blobs"] == 1
    assert (await api.call("DELETE", "/api/v1/collections/project?mode=burn")).json()["code"] == "query_invalid"
    assert (await api.json("DELETE", "/api/v1/collections/project?mode=forget", role="member"))["documents"] == 0


async def test_only_an_admin_has_the_server_read_new_folders(api: Api, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret_plan.py").write_text("SECRET_PLAN = 1\n")
    (api.folder / "link").symlink_to(other, target_is_directory=True)
    await api.index(path=str(api.folder))
    index = "/api/v1/collections/project/index"
    for path in (other, tmp_path, tmp_path / "nothing there", api.folder / "link", api.folder / ".." / "other", "/"):
        refused = await api.call("POST", index, {"path": str(path)}, role="member")
        # The same words whether the folder exists or not.
        assert refused.json()["code"] == "folder_unknown", path
    assert (await api.call("POST", index, {"path": "src"}, role="member")).json()["code"] == "folder_not_absolute"
    assert (await api.call("POST", "/api/v1/collections/new/index", {}, role="member")).status_code == 404
    assert (await api.call("POST", "/api/v1/collections/new/index", {})).json()["code"] == "no_folder_here"
    assert (await api.call("POST", index, {}, role="reader")).json()["code"] == "role_too_low"

    (api.folder / "more.py").write_text("MORE_OF_IT = 1\n")
    for body in ({}, {"path": str(api.folder)}, {"path": str(api.folder / "more.py")}):
        job = await api.json("POST", index, body, role="member", status=202)
        assert json.loads((await api.events(job["job_id"]))[-1]["data"])["state"] == "succeeded"
    found = await api.json("POST", "/api/v1/search", {"query": "MORE_OF_IT"})
    assert [result["path"] for result in found["results"]][:1] == ["more.py"]

    await api.index("other", path=str(other))
    found = await api.json("POST", "/api/v1/search", {"query": "SECRET_PLAN", "collections": ["other"]})
    assert found["results"]


async def test_verify_as_a_job(api: Api) -> None:
    await api.index(path=str(api.folder))
    job = await api.json("POST", "/api/v1/collections/project/verify", role="member", status=202)
    done = json.loads((await api.events(job["job_id"]))[-1]["data"])
    assert done["result"]["equal"] is True
    assert (await api.call("POST", "/api/v1/collections/none/verify")).status_code == 404


async def test_a_failed_job_says_why(api: Api) -> None:
    path = str(api.folder / "not there")
    job = await api.json("POST", "/api/v1/collections/x/index", {"path": path}, status=202)
    done = json.loads((await api.events(job["job_id"]))[-1]["data"])
    assert (done["state"], done["error"]["code"]) == ("failed", "root_missing")
    assert path in done["error"]["detail"]


async def test_events_go_on_where_they_stopped(api: Api) -> None:
    done = await api.index(path=str(api.folder))
    job_id, last = done["job_id"], done["revision"]
    everything = await api.events(job_id)
    assert [event["event"] for event in everything] == ["end"]
    assert int(everything[-1]["id"]) == last
    assert [event["event"] for event in await api.events(job_id, last_event_id=str(last - 1))] == ["end"]
    answer = await api.call("GET", f"/api/v1/jobs/{job_id}/events", headers={"last-event-id": str(last)})
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await api.call("GET", f"/api/v1/jobs/{job_id}/events", headers={"last-event-id": "x"})
    assert answer.json()["code"] == "event_id_invalid"
    assert (await api.call("GET", "/api/v1/jobs/job_none/events")).json()["code"] == "job_not_found"


async def test_jobs_are_listed_and_cancelled(api: Api) -> None:
    done = await api.index(path=str(api.folder))
    listed = await api.json("GET", "/api/v1/jobs?state=succeeded&limit=5", role="reader")
    assert [(job["job_id"], job["result"]) for job in listed["jobs"]] == [(done["job_id"], None)]
    assert (await api.json("GET", "/api/v1/jobs?state=failed"))["jobs"] == []
    assert (await api.call("GET", "/api/v1/jobs?state=lost")).json()["code"] == "query_invalid"
    assert (await api.call("DELETE", f"/api/v1/jobs/{done['job_id']}")).json()["code"] == "job_finished"
    assert (await api.call("DELETE", "/api/v1/jobs/job_none")).status_code == 404
    shown = await api.json("GET", f"/api/v1/jobs/{done['job_id']}", role="reader")
    assert shown["result"] == done["result"]


async def test_nobody_sees_another_project(api: Api) -> None:
    done = await api.index(path=str(api.folder))
    key, pepper = new_key(), b"p" * 32
    ((project_id,),) = await api.skep.database.fetch_tuples(
        b"insert into project (name, key_pepper) values ('theirs', %(pepper)s) returning project_id", {"pepper": pepper}
    )
    bound = {"key_id": key.key_id, "project_id": project_id, "name": "their admin", "role": "admin"}
    await api.skep.database.execute(NEW_KEY.encode(), bound | {"secret_hmac": key_hmac(key, pepper)})
    api.keys["theirs"] = key.text
    assert (await api.json("GET", "/api/v1/collections", role="theirs"))["collections"] == []
    assert (await api.json("GET", "/api/v1/jobs", role="theirs"))["jobs"] == []
    for method, path, body in (
        ("POST", "/api/v1/search", {"query": "RetryPolicy"}),
        ("GET", "/api/v1/collections/project", None),
        ("DELETE", "/api/v1/collections/project", None),
        ("DELETE", "/api/v1/collections/project/documents/retry.py", None),
        ("GET", "/api/v1/collections/project/similar?location=retry.py:1", None),
        ("POST", "/api/v1/collections/project/verify", None),
        ("GET", f"/api/v1/jobs/{done['job_id']}", None),
        ("GET", f"/api/v1/jobs/{done['job_id']}/events", None),
        ("DELETE", f"/api/v1/jobs/{done['job_id']}", None),
    ):
        assert (await api.call(method, path, body, role="theirs")).status_code == 404, path


async def test_a_revoked_key_is_refused_within_two_seconds(api: Api) -> None:
    await api.json("GET", "/api/v1/jobs", role="reader")
    await api.skep.database.execute(b"update api_key set revoked_at = now() where role = 'reader'")
    await asyncio.sleep(1.5)
    assert (await api.call("GET", "/api/v1/jobs", role="reader")).json()["code"] == "key_invalid"


async def test_ready_and_public(api: Api) -> None:
    assert await api.json("GET", "/readyz") == {"status": "ready", "database": "ok"}
    assert await api.json("GET", "/healthz") == {"status": "ok"}
    config = await api.json("GET", "/config")
    assert config["limits"]["max_top_k"] == 1000
    text = json.dumps(config)
    assert "postgres" not in text
    assert str(api.skep.settings.data_folder) not in text
    assert (await api.json("GET", "/api/openapi.json"))["openapi"] == "3.1.0"
    assert (await api.call("GET", "/api/docs")).headers["content-security-policy"].startswith("default-src 'none'")


async def test_without_a_database_the_server_says_so_and_recovers(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1", tmp_path / "data")
    opening = make_opening(settings, notice=lambda _: None)
    good = settings_for(database_url, tmp_path / "data")
    is_there = asyncio.Event()

    @asynccontextmanager
    async def open_one() -> AsyncIterator[Skep]:
        chosen = good if is_there.is_set() else settings
        async with open_skep(chosen, notice=lambda _: None) as skep:
            yield skep

    monkeypatch.setattr(opening, "_open_skep", open_one)
    holding = asyncio.create_task(opening.hold())
    api = httpx.AsyncClient(transport=httpx.ASGITransport(make_application(opening, settings)), base_url=BASE)
    try:
        async with api, asyncio.timeout(30):
            await opening.tried.wait()
            assert (await api.get("/healthz")).status_code == 200
            for path in ("/readyz", "/api/v1/collections"):
                answer = await api.get(path, headers={"authorization": "Bearer skep_x"})
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json()["code"] == "not_ready"
                assert "127.0.0.1:1/nothing" in answer.json()["detail"]
            is_there.set()
            while (await api.get("/readyz")).status_code != 200:  # noqa: ASYNC110 -- it recovers by itself
                await asyncio.sleep(0.1)
    finally:
        opening.end()
        await asyncio.wait_for(holding, 15)
