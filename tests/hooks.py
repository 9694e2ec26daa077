"""Somebody who takes webhooks, as Standard Webhooks tells receivers to: the signature is checked by code of the test's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Taken:
    """One attempt."""

    webhook_id: str
    body: bytes
    is_genuine: bool
    path: str

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """``answer`` gets the number of attempts so far, this one included, and returns a status, or sleeps first."""

    answer: Callable[[int], int]
    url: str = ""
    taken: list[Taken] = field(default_factory=list)

    def percents(self) -> list[int]:
        return [each.told["data"]["percent"] for each in self.taken]


def is_genuine(headers: Any, body: bytes) -> bool:
    """What a receiver checks."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 60
    return is_fresh and f"v1,{expected}" in headers["webhook-signature"].split(" ")


@contextmanager
def receiver(answer: Callable[[int], int] = lambda _: 204) -> Iterator[Receiver]:
    found = Receiver(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                found.taken.append(Taken(self.headers["webhook-id"], body, is_genuine(self.headers, body), self.path))
                number = len(found.taken)
            status = found.answer(number)
            try:
                self.send_response(status)
                self.send_header("location", f"{found.url}elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True

        @override
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
