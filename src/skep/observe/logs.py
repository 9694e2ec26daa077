"""Log lines, on the standard library's ``logging``.

Not structlog: importing it brings ``rich`` along (a quarter of a second), and the libraries
we stand on (uvicorn, procrastinate, psycopg) speak ``logging`` anyway.
"""

from __future__ import annotations

import atexit
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, Protocol

import orjson
from typing_extensions import override

from skep.observe.tracing import current_trace_id
from skep.terminal import printable, printable_lines

LogFormat = Literal["text", "json"]


class Sink(Protocol):
    """What log lines are written to: a text stream, or a `RotatingFile`."""

    def write(self, text: str, /) -> object:
        """Take whole lines."""
        ...

    def flush(self) -> None:
        """Let them be seen."""
        ...


FIELDS = "skep_fields"
"""The attribute of a record that holds the facts of an event."""

_MASKS = (
    (re.compile(r"\b(skep_[0-9a-z]{12})_[0-9A-Za-z]+"), r"\1_***"),
    (re.compile(r"\b(sk-|pk-|rk-|xai-|gsk_)[0-9A-Za-z_-]{8,}"), r"\1***"),
    (re.compile(r"\bAIza[0-9A-Za-z_-]{20,}"), "AIza***"),
    (re.compile(r"(?i)\b(bearer|basic) +[^\s\"',]+"), r"\1 ***"),
    (re.compile(r"(://[^\s/:@]*):[^\s/@]+@"), r"\1:***@"),
    (re.compile(r"(?i)\b(password|secret|token|api[_-]key)(['\"]?\s*[=:]\s*)(['\"]?)[^\s'\",&]+"), r"\1\2\3***"),
)
"""What must not stand in a log, however it got there: our keys (their public id stays), those of the usual providers,
credentials of any request, passwords in addresses and in connection strings."""

_SUSPICIOUS = (
    "skep_",
    "sk-",
    "pk-",
    "rk-",
    "xai-",
    "gsk_",
    "aiza",
    "api-key",
    "bearer ",
    "basic ",
    "://",
    "password",
    "secret",
    "token",
    "api_key",
)
"""Each of `_MASKS` needs one of these, which no escaping changes: a line without any of them has nothing to mask. Looking for
them takes a tenth of the time of the patterns themselves."""

_SECRET_NAME = re.compile(r"(?i)(?:.*\W)?(?:password|secret|token|api[_-]key)")
"""In JSON a name and its value stand apart; as text the last of `_MASKS` sees both."""

_NEEDS_QUOTES = re.compile(r"[\s\"=]")
_JSON_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

_QUIET = {
    **dict.fromkeys(("alembic", "asyncio", "procrastinate", "uvicorn.error"), logging.WARNING),
    "psycopg.pool": logging.ERROR,
    "opentelemetry": logging.CRITICAL,
}
"""Libraries that say below these levels what we say ourselves."""


_WAITING_LINES = 10_000
"""Lines that may wait for a stream that takes none; of more the oldest are dropped."""

_WRITE_SECONDS = 0.1
LOG_LAG_SECONDS = 0.4
"""After so long a line is in its file, also where that is done aside, but for a disk that stands still."""

_LAST_SECONDS = 1.0


def configure_logging(level: str, form: LogFormat, stream: Sink, *, aside: bool = False) -> None:
    """Send every log record of this process to ``stream``; ``level`` is the least important that is written.

    With ``aside`` a thread does the writing, for event loops: while a database syncs its log to the same disk, appending
    a line to a file can take 300 ms (measured). What was said in the last tenth of a second is lost if it is killed.
    """
    handler = _Aside(stream, form) if aside else logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(form))
    # None of it is written, and each is asked for with every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)
    logging.captureWarnings(capture=True)


def set_log_level(level: str) -> None:
    """Change the least important level that is written."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def event(logger: logging.Logger, level: int, name: str, **fields: object) -> None:
    """Log something that happened, with its facts. ``name`` is a constant; None among the facts is left out."""
    if not logger.isEnabledFor(level):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(aside := handlers[0], _Aside) and not logger.handlers:
        # Every request comes by here: without a record on the way it takes a third of the time.
        aside.say(level, logger.name, name, fields)
        return
    # `Logger.log` would look for the caller's line, which is not written, for longer than the rest takes.
    logger.handle(logger.makeRecord(logger.name, level, "", 0, name, (), None, extra={FIELDS: fields}))


def masked(text: str) -> str:
    """The text with everything that looks like a secret replaced by stars."""
    if not _is_suspicious(text):
        return text
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def render(record: logging.LogRecord, form: LogFormat, trace: str = "") -> str:
    """A record as it is written: one line, or for text with an exception that and its trace back."""
    found: object = getattr(record, FIELDS, None)
    fields = found if isinstance(found, Mapping) else {}
    failure = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    head = _head(record.created, record.levelno, record.name, record.getMessage())
    return _line(head, fields, form, trace, failure)


def _head(created: float, level: int, logger: str, name: str) -> dict[str, object]:
    second = int(created)
    moment = f"{_second(second)}.{int((created - second) * 1000):03d}Z"
    return {"time": moment, "level": _level(level), "logger": logger, "event": name}


def _line(head: dict[str, object], fields: Mapping[str, object], form: LogFormat, trace: str, failure: str = "") -> str:
    facts = {**fields, "trace": trace or None}
    if None in facts.values():
        facts = {key: value for key, value in facts.items() if value is not None}
    if form == "json":
        everything = {**head, **facts}
        if failure:
            everything["exception"] = failure
        line = orjson.dumps(everything, default=str, option=_JSON_OPTIONS).decode()
        if not _is_suspicious(line):
            return line
        return json.dumps({key: _plain(key, value) for key, value in everything.items()})
    told = "".join([f" {key}={_shown(value)}" for key, value in facts.items()])
    line = printable(f"{head['time']} {head['level']:<7} {head['logger']} {head['event']}{told}")
    return masked(line + (f"\n{printable_lines(failure)}" if failure else ""))


class _Formatter(logging.Formatter):
    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form: LogFormat = form

    @override
    def format(self, record: logging.LogRecord) -> str:
        return render(record, self._form, current_trace_id())


class _Aside(logging.Handler):
    """Formats at once, since the trace is known only here, and lets a thread do the writing, a tenth of a second later.

    Many lines at a time: a thread that is woken for each takes the interpreter from the request that comes next.
    """

    def __init__(self, stream: Sink, form: LogFormat) -> None:
        super().__init__()
        self._stream = stream
        self._form: LogFormat = form
        self._lines: deque[str] = deque(maxlen=_WAITING_LINES)
        self._waiting = threading.Event()
        self._ending = False
        self._writer = threading.Thread(target=self._write, name="skep-log", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 -- a faulty line must not fail who says it; told like in every handler
            self.handleError(record)
            return
        self._wake()

    def say(self, level: int, logger: str, name: str, fields: Mapping[str, object]) -> None:
        """What `emit` does, for an event that was not made a record of."""
        try:
            line = _line(_head(time.time(), level, logger, name), fields, self._form, current_trace_id())
        except Exception:  # noqa: BLE001 -- as above
            self.handleError(logging.makeLogRecord({"name": logger, "levelno": level, "msg": name, FIELDS: fields}))
            return
        self._lines.append(line)
        self._wake()

    def _wake(self) -> None:
        if not self._waiting.is_set():
            self._waiting.set()

    @override
    def close(self) -> None:
        """Write what waits, for a second at most."""
        self._ending = True
        self._waiting.set()
        self._writer.join(_LAST_SECONDS)
        super().close()

    def _write(self) -> None:
        ending = False
        while not ending:
            self._waiting.wait()
            if not self._ending:
                time.sleep(_WRITE_SECONDS)
            self._waiting.clear()
            # Read before the lines are taken, so that what was said before `close` is written.
            ending = self._ending
            lines = "".join(f"{self._lines.popleft()}\n" for _ in range(len(self._lines)))
            with suppress(OSError, ValueError):
                self._stream.write(lines)
                self._stream.flush()


@lru_cache(maxsize=16)
def _level(level: int) -> str:
    return logging.getLevelName(level).lower()


def _is_suspicious(text: str) -> bool:
    # Some letters that are not ASCII are the same as s or k to a pattern that does not tell cases apart.
    small = text.lower() if text.isascii() else text.casefold()
    for word in _SUSPICIOUS:  # noqa: SIM110 -- twice as fast as with any()
        if word in small:
            return True
    return False


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


def _plain(name: str, value: object) -> object:
    """A value for JSON. Masked before it is escaped: afterwards a secret could not be told from what stands around it."""
    if _SECRET_NAME.fullmatch(name):
        return "***"
    return value if isinstance(value, bool | int | float) else masked(str(value))


def _shown(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or _NEEDS_QUOTES.search(text) is not None else text
