"""Ways to ask a running Skep: over HTTP as a client does, and inside our own process without a server."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from bench.processes import CommandError
from bench.processes import Skep as SkepCommand
from skep.access import Principal
from skep.app import Skep, open_skep
from skep.knowledge import SearchRequest
from skep.settings import CommandLine, load_settings

_START_SECONDS = 60.0
_JOB_POLL_SECONDS = 0.2


class Client(Protocol):
    """One client: it asks, and waits for the answer before it asks again."""

    async def search(self, question: str, top_k: int) -> int:
        """The number of results. Raises when there is no answer."""
        ...


class Backend(Protocol):
    """What clients ask."""

    async def client(self) -> Client:
        """One more client."""
        ...

    async def index(self, folder: Path, collection: str) -> None:
        """Bring a collection up to date as a background job; returns when it has ended."""
        ...


class HttpClient:
    """A keep-alive connection to the server. Written by hand because a client library would cost as much as the search."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"

    async def search(self, question: str, top_k: int) -> int:
        """See `Client`. Raises CommandError for any status but 200."""
        answer = await self.call("POST", "/api/v1/search", {"query": question, "top_k": top_k})
        return len(answer["results"])

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request. Raises CommandError when the status is not a success."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(data)}\r\n\r\n"
        self._writer.write(head.encode() + data)
        await self._writer.drain()
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        answer = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if not status.split(" ", 2)[1].startswith("2"):
            raise CommandError(f"{method} {path}: {status}: {answer[:500].decode()}")
        value: dict[str, Any] = json.loads(answer) if answer else {}
        return value

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class HttpBackend:
    """A `skep up` on a free port."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    async def client(self) -> HttpClient:
        """See `Backend`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        return HttpClient(reader, writer, self._key)

    async def index(self, folder: Path, collection: str) -> None:
        """See `Backend`. Raises CommandError when the job fails."""
        client = await self.client()
        job = await client.call("POST", f"/api/v1/collections/{collection}/index", {"path": str(folder)})
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(_JOB_POLL_SECONDS)
            job = await client.call("GET", f"/api/v1/jobs/{job['job_id']}")
        client.close()
        if job["state"] != "succeeded":
            raise CommandError(f"the index job ended as {job['state']}: {job.get('error')}")


@asynccontextmanager
async def http_backend(skep: SkepCommand) -> AsyncIterator[HttpBackend]:
    """`skep up` on the data folder while the block runs. Raises CommandError when it does not get ready."""
    port = _free_port()
    server = skep.start("up", "--port", str(port))
    try:
        backend = HttpBackend(port, (skep.data_folder / "admin.key").read_text(encoding="utf-8").strip())
        await _wait_until_ready(server, backend, skep.log)
        yield backend
    finally:
        server.terminate()
        await asyncio.to_thread(server.wait, 30)


async def _wait_until_ready(server: subprocess.Popen[str], backend: HttpBackend, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client = await backend.client()
            await client.call("GET", "/readyz")
        except (OSError, EOFError, CommandError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise CommandError(
                    f"skep up does not answer: {error}\n{await asyncio.to_thread(log.read_text)}"
                ) from error
            await asyncio.sleep(0.1)
        else:
            client.close()
            return


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class LocalBackend:
    """The services in our own process; a client is only a caller."""

    def __init__(self, skep: Skep, principal: Principal) -> None:
        self._skep = skep
        self._principal = principal

    async def client(self) -> Client:
        """See `Backend`."""
        return self

    async def search(self, question: str, top_k: int) -> int:
        """See `Client`."""
        request = SearchRequest(query=question, top_k=top_k)
        return len((await self._skep.knowledge.search(self._principal, request)).results)

    async def index(self, folder: Path, collection: str) -> None:
        """See `Backend`."""
        await self._skep.knowledge.index(
            self._principal, folder, collection=collection, report=lambda _phase, _done, _total: None
        )


def _show(text: str) -> None:
    print(text)


@asynccontextmanager
async def local_backend(data_folder: Path, *, embedding: bool = False) -> AsyncIterator[LocalBackend]:
    """Skep opened in this process on a data folder."""
    settings = load_settings(CommandLine(None, {"data_folder": data_folder, "embedding.enabled": embedding}))
    async with open_skep(settings, notice=_show, name="skep benchmark") as skep:
        yield LocalBackend(skep, await skep.local_principal())
