"""A program: takes connections from a socket that was handed to it, and carries them to a port of the namespace in which it runs.

So a test reaches what listens in another network namespace without being in it. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, OSError):
        writer.write_eof()


async def _forward(descriptor: int, host: str, port: int) -> None:
    async def joined(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(host, port)
        except OSError:
            to_client.transport.abort()
            return
        try:
            await asyncio.gather(_carry(client, to_server), _carry(server, to_client))
        finally:
            to_server.close()
            to_client.close()

    with socket.socket(fileno=descriptor) as listener:
        await asyncio.start_server(joined, sock=listener)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_forward(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
