"""The programs of the gateway's benchmark: two upstreams, and whoever stands between them and the clients.

Every program listens on 127.0.0.1, on a port that was free, and ends with its block.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.processes import REPOSITORY, CommandError, Skep, plain_environment

MODEL = "gpt-bench"
"""Answered at once with a fixed body."""
SSE_MODELS = {"slow": "gpt-slow", "quick": "gpt-quick"}
"""Answered by streams of 4 and of 20 events in a second."""

KEPT_MODEL = "gpt-kept"
"""As `MODEL`; Skep gives its answers again."""

CHAT_PATH = "/v1/chat/completions"
_START_SECONDS = 180.0
_STOP_SECONDS = 15.0
_PROBE_SECONDS = 20.0

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The hive is quiet in winter. " * 8, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 58, "total_tokens": 78},
    }
)

SSE_SECONDS = 2
"""How long a stream of the upstream lasts, about."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where clients send requests. Clients take the headers in turn."""

    port: int
    model: str
    path: str = CHAT_PATH
    headers: tuple[Mapping[str, str], ...] = ({"authorization": "Bearer sk-bench"},)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One that stands between; *direct* is nobody."""

    name: str
    body: Target
    """Leads to the upstream with the fixed body."""
    streams: Mapping[str, Target]
    """Lead to the upstream with streams, by the names of `SSE_MODELS`."""
    pids: tuple[int, ...] = field(default=())
    """Its processes, whose children belong to it as well."""

    def cpu_seconds(self) -> float:
        """Processor time of all its processes since they started."""
        total = 0.0
        for pid in self.pids:
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    spent = process.cpu_times()
                    total += spent.user + spent.system
        return total


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of a program of the system. Raises CommandError."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise CommandError(f"{name} is not installed: see bench/gateway/peers.sh")
    return path


@contextmanager
def running(
    command: Sequence[str], log: Path, probes: Sequence[Target], environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a program until the block ends; the block begins when each probe was answered. Raises CommandError."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment or plain_environment()
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        for probe in probes:
            wait_for_answer(probe, process, deadline, log)
        yield process.pid
    finally:
        _end(process)


def wait_for_answer(probe: Target, process: subprocess.Popen[Any], deadline: float, log: Path) -> None:
    """Ask until the probe is answered. Raises CommandError: the process ended, or the deadline (monotonic) is over."""
    while (reason := probe_fails(probe)) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise CommandError(f"no answer ({reason}); the log ends with:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        for left in (psutil.Process(process.pid) if process.poll() is None else None, *children):
            with suppress(psutil.NoSuchProcess):
                if left is not None:
                    left.kill()
    process.wait()


def probe_fails(target: Target) -> str | None:
    """Why one call to the target is not answered as it should be; None when it is."""
    body = json.dumps(
        {"model": target.model, "stream": target.model != MODEL, "messages": [{"role": "user", "content": "hi"}]}
    )
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}{target.path}",
        data=body.encode(),
        headers={"content-type": "application/json", **target.headers[0]},
    )
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error}: {error.read()[:500]!r}"
    except (OSError, ValueError) as error:
        return str(error)
    return None if '"choices"' in text else f"not an answer: {text[:500]}"


def _nginx_settings(folder: Path, servers: str) -> Path:
    path = folder / "nginx.conf"
    kinds = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 2m; {kinds}\n"
        f"{servers} }}\n",
        encoding="utf-8",
    )
    return path


def _nginx_command(folder: Path, servers: str) -> list[str]:
    folder.mkdir()
    # An empty -e would write to the system's log before the settings are read.
    return [
        program("nginx"),
        "-e",
        str(folder / "error.log"),
        "-p",
        str(folder),
        "-c",
        str(_nginx_settings(folder, servers)),
    ]


@contextmanager
def body_upstream(folder: Path) -> Iterator[Target]:
    """Nginx with the fixed answer to every request."""
    target = Target(free_port(), MODEL)
    servers = f"server {{ listen 127.0.0.1:{target.port} backlog=2048; default_type application/json; return 200 '{ANSWER}'; }}"
    with running(_nginx_command(folder, servers), folder.with_suffix(".log"), [target]):
        yield target


@contextmanager
def stream_upstream(folder: Path) -> Iterator[Mapping[str, Target]]:
    """The scripted provider with streams."""
    folder.mkdir()
    script, port = folder / "script.yaml", free_port()
    rules = [
        {"when": {"models": model}, "then": {"text": stream_text(name), "events_per_second": pace_of(name)}}
        for name, model in SSE_MODELS.items()
    ]
    script.write_text(json.dumps({"rules": rules}), encoding="utf-8")
    targets = {name: Target(port, model) for name, model in SSE_MODELS.items()}
    command = [sys.executable, "-m", "skep", "fake-provider", "--script", str(script), "--port", str(port)]
    environment = plain_environment(PYTHONPATH=str(REPOSITORY / "src"))
    with running(command, folder.with_suffix(".log"), list(targets.values())[1:], environment):
        yield targets


def pace_of(name: str) -> int:
    """Events in a second of a stream."""
    return {"slow": 4, "quick": 20}[name]


def stream_text(name: str) -> str:
    """What a stream says, one word in each event."""
    return " ".join(f"word{number}" for number in range(pace_of(name) * SSE_SECONDS))


@contextmanager
def nginx(folder: Path, body: Target, streams: Mapping[str, Target]) -> Iterator[Contestant]:
    """Nginx with nothing but ``proxy_pass``: what a relay can reach at most."""
    ports = {upstream: free_port() for upstream in {body.port, *(target.port for target in streams.values())}}
    servers = "".join(
        f"upstream u{upstream} {{ server 127.0.0.1:{upstream}; keepalive 512; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=2048; location / {{ proxy_pass http://u{upstream}; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } }\n'
        for upstream, port in ports.items()
    )
    targets = {name: Target(ports[target.port], target.model) for name, target in streams.items()}
    own = Target(ports[body.port], body.model)
    with running(_nginx_command(folder, servers), folder.with_suffix(".log"), [own]) as pid:
        yield Contestant("nginx", own, targets, (pid,))


@contextmanager
def litellm(folder: Path, home: Path, body: Target, streams: Mapping[str, Target]) -> Iterator[Contestant]:
    """LiteLLM's proxy in one process, without keys, database or budgets."""
    folder.mkdir()
    port, settings = free_port(), folder / "litellm.json"
    models = [
        {
            "model_name": target.model,
            "litellm_params": {
                "model": f"openai/{target.model}",
                "api_base": f"http://127.0.0.1:{target.port}/v1",
                "api_key": "sk-bench",
            },
        }
        for target in (body, *streams.values())
    ]
    settings.write_text(json.dumps({"model_list": models, "litellm_settings": {"num_retries": 0}}), encoding="utf-8")
    command = [str(home / "litellm" / "bin" / "litellm"), "--config", str(settings), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    # Its price list comes from the package instead of from the network, it logs errors only, and nobody needs a key.
    environment = plain_environment(
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_LOG="ERROR",
        LITELLM_MODE="PRODUCTION",
        LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY="true",
    )
    own = Target(port, body.model)
    targets = {name: Target(port, target.model) for name, target in streams.items()}
    with running(command, folder / "log", [own, targets["quick"]], environment) as pid:
        yield Contestant("litellm", own, targets, (pid,))


_MUTABLE_ANSWERS = """\
const fetched = globalThis.fetch, Answer = globalThis.Response, Names = globalThis.Headers;
globalThis.fetch = async (...asked) => {
  const one = await fetched(...asked);
  return new Answer(one.body, {status: one.status, statusText: one.statusText, headers: new Names(one.headers)});
};
"""
"""Portkey 1.15.2 answers every stream with 500 on Node 20: it appends to the headers of a fetched answer, which cannot be
changed. With this its streams work; its other calls are measured without."""


@contextmanager
def portkey(folder: Path, home: Path, body: Target, streams: Mapping[str, Target]) -> Iterator[Contestant]:
    """Portkey's gateway as its package starts it; the request's headers say where it goes. Streams have a process of their own."""
    folder.mkdir()
    ports = (free_port(), free_port())
    package = home / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
    environment = plain_environment(NODE_ENV="production")

    def through(target: Target, port: int) -> Target:
        where = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{target.port}/v1"}
        return Target(port, target.model, headers=({**target.headers[0], **where},))

    def command(port: int, *options: str) -> list[str]:
        return [program("node"), *options, str(package / "build" / "start-server.js"), f"--port={port}", "--headless"]

    own, targets = through(body, ports[0]), {name: through(target, ports[1]) for name, target in streams.items()}
    before = ("--import", f"data:text/javascript,{urllib.parse.quote(_MUTABLE_ANSWERS)}")
    with (
        running(command(ports[0]), folder / "log", [own], environment) as pid,
        running(command(ports[1], *before), folder / "log", [targets["quick"]], environment),
    ):
        yield Contestant("portkey", own, targets, (pid,))


@dataclass(frozen=True, slots=True)
class Governance:
    """What Skep looks after while it is measured. Without: one key, no limit, no budget, no price, no tracing."""

    keys: int = 1_000
    requests_per_minute: int = 10_000_000
    budget_usd: int = 1_000_000
    traced_per_thousand: int = 100
    """Of a thousand calls, so many are recorded; the upstream with the fixed body takes their spans."""


UNGOVERNED = "skep without governance"
SPREAD = "skep on every processor"


@contextmanager
def skep(
    folder: Path, body: Target, streams: Mapping[str, Target], governance: Governance | None, *, workers: int = 1
) -> Iterator[Contestant]:
    """Skep: with its governance every key has a limit and a budget, every model a price, and some calls are traced.

    Raises CommandError when no span was sent.
    """
    port = free_port()
    (settings := folder.with_suffix(".yaml")).write_text(
        json.dumps(skep_settings(body, streams, governance)), encoding="utf-8"
    )
    with Skep(folder) as ours:
        own = ["--config", str(settings)]
        process = ours.start("up", "--port", str(port), "--workers", str(workers), *own)
        try:
            keys = skep_keys(ours, port, governance)
            headers = tuple({"authorization": f"Bearer {key}"} for key in keys)
            target = Target(port, body.model, headers=headers)
            targets = {name: Target(port, one.model, headers=headers) for name, one in streams.items()}
            wait_for_answer(target, process, time.monotonic() + _START_SECONDS, ours.log)
            name = SPREAD if workers > 1 else "skep" if governance else UNGOVERNED
            yield Contestant(name, target, targets, (process.pid,))
            if governance and not sent_spans(ours, port):
                raise CommandError("no call was traced, so what was measured is not what is told")
        finally:
            process.terminate()
            process.wait(60)


def second_start_seconds(folder: Path) -> float:
    """From ``skep up`` until it is ready, with its database to start, on a data folder that was served before. Raises CommandError."""
    took = 0.0
    with Skep(folder) as ours:
        for _ in range(2):
            port, began = free_port(), time.monotonic()
            process = ours.start("up", "--port", str(port), "--workers", "1")
            try:
                wait_until_ready(port, began + _START_SECONDS, ours.log)
                took = time.monotonic() - began
            finally:
                process.terminate()
                process.wait(60)
            ours.stop()
    return took


def skep_settings(body: Target, streams: Mapping[str, Target], governance: Governance | None) -> dict[str, object]:
    """The settings file of the measured Skep: each upstream is a provider, each model has one route. Pure."""
    price = {"price": {"input_usd_per_mtok": 0.15, "output_usd_per_mtok": 0.60}} if governance else {}
    ports = {target.model: target.port for target in (body, *streams.values())}
    providers = {
        f"upstream{port}": {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "sk-bench"}
        for port in set(ports.values())
    }
    models: dict[str, dict[str, object]] = {
        model: {"routes": [{"provider": f"upstream{port}", "model": model}], **price} for model, port in ports.items()
    }
    models[KEPT_MODEL] = {**models[body.model], "cache_seconds": 3600}
    settings: dict[str, object] = {"providers": providers, "models": models, "log": {"format": "json"}}
    if governance:
        endpoint = f"http://127.0.0.1:{body.port}"
        settings["tracing"] = {"endpoint": endpoint, "samples_per_thousand": governance.traced_per_thousand}
    return settings


def sent_spans(ours: Skep, port: int) -> int:
    """How many spans the collector has taken, as the server's own metrics say."""
    admin = (ours.data_folder / "admin.key").read_text(encoding="utf-8").strip()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"authorization": f"Bearer {admin}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    counts = (line.rpartition(" ")[2] for line in lines if line.startswith('skep_spans_total{outcome="exported"'))
    return int(sum(map(float, counts)))


def skep_keys(ours: Skep, port: int, governance: Governance | None) -> list[str]:
    """Make the keys over the server's own API, as soon as it is ready. Raises CommandError when it does not get ready."""
    wait_until_ready(port, time.monotonic() + _START_SECONDS, ours.log)
    admin = (ours.data_folder / "admin.key").read_text(encoding="utf-8").strip()
    headers = {"authorization": f"Bearer {admin}", "content-type": "application/json"}
    rules = (
        {
            "budget_usd": governance.budget_usd,
            "per": "day",
            "requests_per_minute": governance.requests_per_minute,
        }
        if governance
        else {}
    )

    def make(number: int) -> str:
        body = json.dumps({"name": f"bench-{number}", **rules}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/keys", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["key"])

    return [make(number) for number in range(governance.keys if governance else 1)]


def wait_until_ready(port: int, until: float, log: Path) -> None:
    """Return when the server says that it can do its work. Raises CommandError after ``until``."""
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if time.monotonic() > until:
                raise CommandError(f"skep is not ready: {error}: {log.read_text(encoding='utf-8')[-500:]}") from error
        time.sleep(0.02)
