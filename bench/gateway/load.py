"""Load by wrk, and what it tells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.gateway.programs import Target, program
from bench.processes import CommandError

_QUESTION = "Where do the bees go in winter, and what do they live on until spring? "

_LUA = """\
local file = io.open("{body}", "rb")
local body = file:read("*a")
file:close()
local requests, turn = {{}}, 0
function init(args)
  for line in io.lines("{headers}") do
    local headers = {{["content-type"] = "application/json"}}
    for name, value in line:gmatch("([^\\t]+)\\t([^\\t]+)") do headers[name] = value end
    requests[#requests + 1] = wrk.format("POST", "{path}", headers, body)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk measured."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests in a second."""
        return self.requests / self.seconds


def request_body(model: str, size_bytes: int = 0) -> bytes:
    """A chat request of about so many bytes, or a short one."""
    text = _QUESTION * max(1, size_bytes // len(_QUESTION))
    asked = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked).encode()


def run_wrk(target: Target, folder: Path, *, clients: int, seconds: int, body: bytes) -> Load:
    """Closed loops of clients for so many whole seconds. Raises CommandError when a request fails."""
    body_file, headers_file, script = folder / "wrk.body", folder / "wrk.headers", folder / "wrk.lua"
    body_file.write_bytes(body)
    headers_file.write_text("".join("\t".join(header_words(one)) + "\n" for one in target.headers), encoding="ascii")
    script.write_text(_LUA.format(body=body_file, headers=headers_file, path=target.path), encoding="utf-8")
    command = [
        program("wrk"),
        "-t",
        "1",
        "-c",
        str(clients),
        "-d",
        f"{seconds}s",
        "--timeout",
        "30s",
        "-s",
        str(script),
    ]
    done = subprocess.run([*command, f"http://127.0.0.1:{target.port}"], capture_output=True, text=True)
    if done.returncode:
        raise CommandError(f"wrk ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return load_of(done.stdout.rstrip().rsplit("\n", 1)[-1])


def header_words(headers: Mapping[str, str]) -> list[str]:
    """Names and values, one after the other."""
    return [word for pair in headers.items() for word in pair]


def load_of(line: str) -> Load:
    """What the script's last line says. Raises CommandError when requests failed, or none was answered. Pure."""
    told = json.loads(line)
    if told["failed"] or not told["requests"]:
        raise CommandError(f"wrk: {told['failed']} requests failed, {told['requests']} were answered")
    return Load(told["requests"], told["microseconds"] / 1e6, told["p50"] / 1e3, told["p99"] / 1e3)
