"""Takers of telemetry for tests: a collector of OTLP over HTTP, read with OpenTelemetry's own messages, and a Datadog agent."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override


@dataclass
class Got:
    """One span, in plain values; ids in hexadecimal digits."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_error: bool
    seconds: float
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Point:
    """One number, or one distribution."""

    start_ns: int
    time_ns: int
    value: float = 0.0
    counts: tuple[int, ...] = ()
    sum: float = 0.0


@dataclass
class Pushed:
    """What one push said of one metric."""

    unit: str
    kind: str
    temporality: int
    """1: what was added, 2: what it came to; 0 of gauges."""
    bounds: tuple[float, ...]
    points: dict[tuple[str, ...], Point]
    """By the values of the labels, in the order of their names."""
    resource: dict[str, Any]


@dataclass
class Collector:
    """What came, in its order."""

    url: str = ""
    status: int = 200
    """What it answers."""
    spans: list[Got] = field(default_factory=list)
    pushes: list[dict[str, Pushed]] = field(default_factory=list)
    """Of metrics; by name."""
    requests: int = 0
    seconds: float = 0.0
    """How long it thinks before it answers."""

    def take(self, path: str, body: bytes) -> None:
        self.requests += 1
        time.sleep(self.seconds)
        if self.status != 200:
            return
        if path == "/v1/metrics":
            self.pushes.append(_metrics(ExportMetricsServiceRequest.FromString(body)))
            return
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_got(span, about) for span in scope.spans]


def _got(span: Any, resource: dict[str, Any]) -> Got:
    return Got(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        is_error=span.status.code == 2,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=_plain(span.attributes),
        resource=resource,
    )


def _metrics(request: ExportMetricsServiceRequest) -> dict[str, Pushed]:
    found: dict[str, Pushed] = {}
    for resource in request.resource_metrics:
        about = _plain(resource.resource.attributes)
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            data: Any = getattr(metric, str(kind))
            bounds = {tuple(point.explicit_bounds) for point in data.data_points} if kind == "histogram" else {()}
            (shared,) = bounds
            points = {tuple(_plain(point.attributes).values()): _point(point, str(kind)) for point in data.data_points}
            assert metric.name not in found
            assert len(points) == len(data.data_points)
            temporality = getattr(data, "aggregation_temporality", 0)
            found[metric.name] = Pushed(metric.unit, str(kind), temporality, shared, points, about)
    return found


def _point(point: Any, kind: str) -> Point:
    at = Point(point.start_time_unix_nano, point.time_unix_nano)
    if kind == "histogram":
        assert point.count == sum(point.bucket_counts)
        at.counts, at.sum = tuple(point.bucket_counts), point.sum
    else:
        at.value = getattr(point, point.WhichOneof("value"))
    return at


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@dataclass
class Agent:
    """What came, line by line."""

    address: str
    lines: list[str] = field(default_factory=list)

    def total(self, name: str, **tags: str) -> float:
        """What a counter's lines with these tags add up to; of a distribution, how many observations they stand for."""
        found = 0.0
        for line in list(self.lines):
            value, kind, rate, told = parsed(line, name)
            if kind and tags.items() <= told.items():
                found += value if kind == "c" else int(1 / rate)
        return found


def parsed(line: str, name: str) -> tuple[float, str, float, dict[str, str]]:
    """Value, kind, rate and tags of a line; the kind is empty when it is about another metric."""
    said, kind, *more = line.split("|")
    found, _, value = said.rpartition(":")
    if found != name:
        return 0.0, "", 1.0, {}
    rate = next((float(each[1:]) for each in more if each.startswith("@")), 1.0)
    tags = next((each[1:].split(",") for each in more if each.startswith("#")), [])
    return float(value), kind, rate, {key: word for key, _, word in (tag.partition(":") for tag in tags)}


@contextmanager
def agent(path: Path | None = None) -> Iterator[Agent]:
    """A Datadog agent on a UDP port of its own, or on a Unix socket, until the block ends."""
    receiver = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0) if path is None else str(path))
    receiver.settimeout(0.05)
    found = Agent(f"udp://127.0.0.1:{receiver.getsockname()[1]}" if path is None else f"unix://{path}")
    ending = threading.Event()

    def receive() -> None:
        while not ending.is_set():
            with suppress(TimeoutError):
                found.lines += receiver.recv(65_536).decode().split("\n")

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ending.set()
        thread.join(5)
        receiver.close()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own, until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(self.path, body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
