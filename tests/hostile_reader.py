"""A reader that a stranger's file has taken over, started in the sandbox as the real one is: the file says what it tries."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _tried(name: str, *arguments: Any) -> str:
    try:
        return f"got {_ATTEMPTS[name](*arguments)!r}"
    except OSError as error:
        return f"refused: {error.strerror}"


def _connect() -> str:
    import socket

    with socket.create_connection(("127.0.0.1", 80), 1):
        return "connected"


def _open_socket() -> str:
    import socket

    socket.socket(socket.AF_UNIX).close()
    return "a socket"


def _open_pair() -> str:
    import socket

    socket.socketpair()
    return "sockets"


def _fork() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid


def _execute() -> None:
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


def _allocate() -> str:
    kept = [bytearray(64 << 20) for _ in range(64)]
    return f"{len(kept)} pieces"


def _loop() -> None:
    while True:
        pass


def _sleep_on() -> None:
    import signal
    import time

    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    time.sleep(100)


def _answer_nonsense() -> None:
    for descriptor in range(3, 16):
        try:
            os.write(descriptor, b'{"document": {"format": 3}}')
        except OSError:
            continue
    os._exit(0)


def _answer_without_end() -> None:
    for descriptor in range(3, 16):
        try:
            while True:
                os.write(descriptor, b" " * 65536)
        except OSError:
            continue


_ATTEMPTS: dict[str, Callable[..., Any]] = {
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: sorted(os.listdir(path)),
    "write": lambda path: Path(path).write_bytes(b"x" * 100),
    "connect": _connect,
    "socket": _open_socket,
    "pair": _open_pair,
    "fork": _fork,
    "execute": _execute,
    "kill": lambda: os.kill(os.getppid(), 9),
    "environment": lambda: sorted(os.environ),
    "parent": os.getppid,
    "allocate": _allocate,
    "loop": _loop,
    "sleep": _sleep_on,
    "crash": os.abort,
    "exit": lambda: os._exit(7),
    "nonsense": _answer_nonsense,
    "endless": _answer_without_end,
    "error": lambda: _ATTEMPTS["missing"],
    "recurse": lambda: _tried("recurse"),
}


def _read(source: Any, _plain_only: str) -> Any:
    from skep.documents.models import Block, Document

    name, *arguments = source.data.decode().split(" ")
    return Document("text", (Block(_tried(name, *arguments)),))


if __name__ == "__main__":
    runner = sys.argv[1]
    runpy.run_path(runner)["enter_packages"](sys.argv[2:])
    import socket

    from skep.documents.reader_process import serve

    serve(socket.socket(fileno=0), _read)
