"""A worker in a process of its own, which tests stop, wake and watch.

``python worker_process.py URL QUEUE FOLDER CONCURRENCY``. What its handler does it says line by line in
``FOLDER/effects``, and it ends when the gate opens: a file in FOLDER that is named like its process and says how, with
``return`` or ``raise``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from skep.jobs import JobContext, JobEnding, JobHandler, Worker, WorkerOptions
from skep.store import Connection, Database, DatabaseUnavailableError, ExternalServer

SILENT_SECONDS = 1.6
HEARTBEAT_SECONDS = 0.2


def handlers(folder: Path) -> Mapping[str, JobHandler]:
    """``work`` goes on, reporting or silently, until the gate says how it ends; ``quick`` ends at once.

    ``write`` waits for the gate and writes into the table ``effect``, by itself for ``step`` and with its end; ``count``
    does so at once, with its end only.
    """
    gate = folder / str(os.getpid())

    def effect(word: str) -> None:
        with (folder / "effects").open("a") as file:
            file.write(f"{os.getpid()} {word}\n")

    async def work(context: JobContext) -> object:
        effect("begin")
        try:
            while not gate.exists():
                if context.arguments["reports"]:
                    context.report("step", 0, 0)
                    effect("step")
                await asyncio.sleep(0.02)
            outcome = gate.read_text()
            gate.unlink()
            if outcome == "raise":
                raise DatabaseUnavailableError(where="test", reason="away")
        finally:
            effect("end")
        return os.getpid()

    async def quick(_: JobContext) -> object:
        return os.getpid()

    async def write(context: JobContext) -> object:
        effect("begin")
        while not gate.exists():  # noqa: ASYNC110 -- the gate is a file
            await asyncio.sleep(0.02)
        try:
            if gate.read_text() == "step":
                async with context.transaction() as connection:
                    await connection.execute("insert into effect values (%s, %s)", [context.job_id, os.getpid()])
        finally:
            effect("end")
        return JobEnding(os.getpid(), partial(_write, context.job_id))

    async def count(context: JobContext) -> object:
        await asyncio.sleep(0.002)
        return JobEnding(None, partial(_write, context.job_id))

    return {"work": work, "quick": quick, "write": write, "count": count}


async def _write(job_id: str, connection: Connection) -> None:
    await connection.execute("insert into effect values (%s, %s)", [job_id, os.getpid()])


async def main(url: str, queue: str, folder: str, concurrency: str) -> None:
    """Work until SIGTERM."""
    database = Database(ExternalServer(url))
    await database.open()
    options = WorkerOptions(
        queues=(queue,),
        concurrency=int(concurrency),
        heartbeat_seconds=HEARTBEAT_SECONDS,
        silent_seconds=SILENT_SECONDS,
        mend_seconds=0.3,
    )
    worker = Worker(database, handlers(Path(folder)), options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
