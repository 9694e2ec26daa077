"""The back end that pushes to a Datadog agent: DogStatsD, in datagrams (https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/).

An encoder of our own and not the library ``datadog``: that counts by itself in each process, one datagram or buffer entry for
each observation, where ours are counted already; and it cannot say how many observations a value stands for.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from skep.observe.interfaces import MetricsAddressError
from skep.observe.metrics.interfaces import Labels
from skep.observe.metrics.models import Metric
from skep.observe.metrics.pushing import NotTakenError, Snapshot, Told

_UDP_BYTES = 1432
"""What fits into one Ethernet frame, as Datadog's own clients have it; of Unix sockets the agent takes 8 KiB."""
_UNIX_BYTES = 8192
_SEND_SECONDS = 1.0

_UNFIT = re.compile(r"[|,#\s]")
"""What would end a tag, or the line."""

_NUDGE = 1e-6
"""The agent rounds down when it makes a count of a rate: 1 / 0.0204... must not become 48."""


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Where an agent listens: a path of a Unix socket, or a host and a UDP port."""

    path: str = ""
    host: str = ""
    port: int = 0

    @staticmethod
    def parse(address: str, port: int) -> AgentAddress:
        """``unix:///path``, ``/path``, ``udp://host:port``, ``host``, with ``port`` where none is named. Raises MetricsAddressError."""
        if address.startswith("/"):
            return AgentAddress(path=address)
        try:
            parts = urlsplit(address if "://" in address else f"udp://{address}")
            named = parts.port
        except ValueError as error:
            raise MetricsAddressError(address=address, reason=str(error)) from error
        if parts.scheme in ("unix", "unixgram") and parts.path:
            return AgentAddress(path=parts.path)
        if parts.scheme == "udp" and parts.hostname:
            return AgentAddress(host=parts.hostname, port=named or port)
        raise MetricsAddressError(address=address, reason="it is neither udp://host:port nor unix:///path")


class DogStatsd:
    """See `Push`."""

    def __init__(self, address: AgentAddress, *, tags: Sequence[str], told: Told) -> None:
        self._address = address
        self._tags = tuple(_tag(tag) for said in tags for tag in said.split())
        self._told = told
        self._socket: socket.socket | None = None

    def send(self, taken: Snapshot) -> None:
        """See `Push.send`."""
        room = _UNIX_BYTES if self._address.path else _UDP_BYTES
        try:
            for packet in packets(self._told, taken, self._tags, room):
                with self._told.telling(packet.tells):
                    self._send(packet.data)
        except NotTakenError:
            # Who comes to listen there has another socket.
            self.close()
            raise
        self._told.told_at(taken.now_ns)

    def close(self) -> None:
        """See `Push.close`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, data: bytes) -> None:
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.send(data)
        except OSError as error:
            raise NotTakenError(error.strerror or str(error)) from error

    def _connected(self) -> socket.socket:
        address: str | tuple[Any, ...] = self._address.path
        family = socket.AF_UNIX
        if not self._address.path:
            known = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
            family, _, _, _, address = known[0]
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            made.settimeout(_SEND_SECONDS)
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made


@dataclass(frozen=True, slots=True)
class Packet:
    """One datagram, and how far the series in it are told with it."""

    data: bytes
    tells: list[tuple[Metric, Labels, Sequence[float]]]


def packets(told: Told, taken: Snapshot, tags: Sequence[str], room: int) -> Iterator[Packet]:
    """Everything that is to be told, in datagrams of at most ``room`` bytes; the lines of one series stay together if they can."""
    lines: list[bytes] = []
    tells: list[tuple[Metric, Labels, Sequence[float]]] = []
    size = 0
    for metric, labels, values, said in _series(told, taken, tags):
        added = sum(len(line) + 1 for line in said)
        if lines and size + added > room:
            yield Packet(b"\n".join(lines), tells)
            lines, tells, size = [], [], 0
        lines, size = [*lines, *said], size + added
        if metric.kind != "gauge":
            tells.append((metric, labels, values))
    if lines:
        yield Packet(b"\n".join(lines), tells)


def _series(
    told: Told, taken: Snapshot, tags: Sequence[str]
) -> Iterator[tuple[Metric, Labels, Sequence[float], list[bytes]]]:
    for metric, series in taken.series.items():
        if metric.kind == "gauge":
            for labels, values in sorted(series.items()):
                yield metric, labels, values, [_line(metric, labels, tags, values[0], "g")]
            continue
        for labels, values, grown in told.news(metric, series):
            yield metric, labels, values, _grown_lines(metric, labels, tags, grown)


def _grown_lines(metric: Metric, labels: Labels, tags: Sequence[str], grown: Sequence[float]) -> list[bytes]:
    if metric.kind == "counter":
        return [_line(metric, labels, tags, grown[0], "c")]
    *counts, total = grown
    stand_ins = representatives(metric.buckets, counts, total)
    return [
        _line(metric, labels, tags, value, "d" if count == 1 else f"d|@{1 / (count + _NUDGE):.12g}")
        for value, count in zip(stand_ins, counts, strict=True)
        if count > 0
    ]


def representatives(bounds: Sequence[float], counts: Sequence[float], total: float) -> list[float]:
    """A value within each bucket, such that all observations together have the sum that they had. Pure.

    Within their buckets all lie equally far up. What is above the last bound takes the rest, as far as it can.
    """
    lows = [0.0, *bounds]
    widths = [high - low for low, high in zip(lows, bounds, strict=False)]
    beyond = counts[-1]
    at_lows = sum(count * low for count, low in zip(counts, lows, strict=True))
    spread = sum(count * width for count, width in zip(counts, widths, strict=False))
    rest = max(0.0, total - at_lows)
    share = 0.5 if beyond and rest >= spread / 2 else min(1.0, rest / spread if spread else 0.0)
    values = [low + width * share for low, width in zip(lows, widths, strict=False)]
    return [*values, lows[-1] + max(0.0, rest - spread * share) / beyond if beyond else math.inf]


def _line(metric: Metric, labels: Labels, tags: Sequence[str], value: float, kind: str) -> bytes:
    named = [f"{name}:{_tag(label)}" for name, label in zip(metric.labels, labels, strict=True)]
    told = ",".join((*named, *tags))
    return f"{metric.name}:{repr(value).removesuffix('.0')}|{kind}{f'|#{told}' if told else ''}".encode()


def _tag(text: str) -> str:
    return _UNFIT.sub("_", text)
