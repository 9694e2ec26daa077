"""The process that reads strangers' files; `run_reader.py` starts it, in a sandbox where there is one.

It never looks at a file itself. For each it forks a child that gives up what it can (`confining`), reads, answers and ends, so
that nothing is left of one file when the next one comes. Two descriptors come with each order: the file, and a pipe whose
other end is our parent's. The child answers there, as JSON, and its parent tells only how it ended.
"""

from __future__ import annotations

import gc
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import orjson

from skep.documents.confining import confine
from skep.documents.drafting import Source
from skep.documents.interfaces import FileTooHungryError, FileUnfoldsError, ReaderCrashedError
from skep.documents.models import Document
from skep.documents.understanding import load_readers, understand
from skep.errors import SkepError

ORDER_BYTES = 8192
"""An order is shorter, and comes whole."""

_READY = b"ready"

Understand = Callable[[Source, str], Document]


def serve(control: socket.socket, read: Understand = understand) -> None:
    """Fork a reader for each order, until the other side closes."""
    load_readers()
    gc.collect()
    gc.freeze()
    control.send(_READY)
    nothing = os.open(os.devnull, os.O_RDWR)
    while True:
        text, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES, 2)
        if not text:
            return
        child = os.fork()
        if child == 0:
            _answer(orjson.loads(text), *descriptors, nothing=nothing, control=control, read=read)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        control.send(b"%d" % os.waitstatus_to_exitcode(status))


def _answer(
    order: dict[str, Any], file: int, answer: int, *, nothing: int, control: socket.socket, read: Understand
) -> NoReturn:
    """Be the reader of one file, to the end."""
    try:
        gc.disable()  # it ends before garbage matters
        control.close()
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.close(nothing)
        confine(order["memory_bytes"], order["seconds"])
        data = orjson.dumps(_outcome(order, file, read))
        while data:
            data = data[os.write(answer, data) :]
        os._exit(0)
    finally:
        os._exit(1)


def _outcome(order: dict[str, Any], file: int, read: Understand) -> dict[str, object]:
    """The document, or the error as it travels."""
    try:
        with os.fdopen(file, "rb") as stream:
            source = Source(stream.read(), order["name"])
        return {"document": read(source, order["plain_only"])}
    except SkepError as error:
        return _said(error)
    except MemoryError:
        return _said(FileTooHungryError(limit_bytes=order["memory_bytes"]))
    except RecursionError:
        return _said(FileUnfoldsError(reason="its parts are nested too deeply"))
    except Exception as error:  # noqa: BLE001 -- whatever a malformed file does to a reader is said of the file
        place = traceback.extract_tb(error.__traceback__)[-1]
        name = os.path.basename(place.filename)
        return _said(ReaderCrashedError(cause=f"{type(error).__name__} at {name}:{place.lineno}"))


def _said(error: SkepError) -> dict[str, object]:
    return {"error": type(error).__name__, "fields": error.fields}
