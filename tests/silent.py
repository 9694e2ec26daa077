"""A network that can fall silent: it takes what is sent, and nothing comes through any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg


@dataclass
class Wire:
    """Stands between a client and a database. Connections that have sent ``mark`` are those that can be silenced."""

    url: str = ""
    mark: bytes = b""
    is_silent: bool = False
    marked: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, own: list[bool], *, looks: bool
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if looks and self.mark in data and not own:
                    own.append(True)
                    self.marked += 1
                if self.is_silent and own:
                    continue
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            if not (self.is_silent and own):
                writer.close()

    async def join(self, target: str, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = (
            await asyncio.open_unix_connection(target)
            if target.startswith("/")
            else (await asyncio.open_connection(*target.split(":")))
        )
        self.writers += (to_server, to_client)
        own: list[bool] = []
        ways = ((client, to_server, True), (server, to_client, False))
        for reader, writer, looks in ways:
            task = asyncio.create_task(self.carry(reader, writer, own, looks=looks))
            self.tasks.add(task)


@asynccontextmanager
async def wire(url: str, mark: bytes) -> AsyncIterator[Wire]:
    """A wire to the database of a URL; the value's ``url`` leads through it."""
    told = psycopg.conninfo.conninfo_to_dict(url)
    host, port = str(told.get("host") or "127.0.0.1"), str(told.get("port") or 5432)
    target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"
    made = Wire(mark=mark)

    async def joined(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await made.join(target, client, to_client)

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    made.url = psycopg.conninfo.make_conninfo(
        url, host="127.0.0.1", port=server.sockets[0].getsockname()[1], gssencmode="disable", sslmode="disable"
    )
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        for writer in made.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)
