from __future__ import annotations

import atexit
import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from typing_extensions import override

from skep.observe import LogFormat, configure_logging, event, masked, render, trace_id_of, tracing

KEY = "skep_0123456789ab_" + "A" * 49
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


PLANTED = pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY}.", "key skep_0123456789ab_***."),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("postgresql://me:hunter2@db/x", "postgresql://me:***@db/x"),
        ("host=db password=hunter2 dbname=x", "host=db password=*** dbname=x"),
        ("{'token': 'abc', 'n': 1}", "{'token': '***', 'n': 1}"),
        ("its key sk-proj-0123456789abcdef.", "its key sk-***."),
        ("gsk_0123456789abcdef", "gsk_***"),
        ("key=AIzaSyA0123456789abcdef0123", "key=AIza***"),
        ("x-api-key: abc, n", "x-api-key: ***, n"),
        ("disk-0123456789 task-0123456789", "disk-0123456789 task-0123456789"),
        ("GET /api/v1/jobs 200", "GET /api/v1/jobs 200"),
        ("the token bucket", "the token bucket"),
    ],
)


@PLANTED
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@PLANTED
def test_secrets_are_masked_in_json(text: str, shown: str) -> None:
    found = json.loads(render(_record("x", {"said": text, "inside": {"said": [text]}, "n": 1}), "json", TRACE))
    assert (found["said"], found["n"], found["trace"]) == (shown, 1, TRACE)
    if text != shown:
        assert text not in json.dumps(found)
    assert json.loads(render(_record(text, {}), "json"))["event"] == shown


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("name", ["password", "api_key", "Token", "client.secret", "api-key"])
@pytest.mark.parametrize("value", ["hunter2hunter2", 20_262_026])
def test_what_is_named_a_secret_is_masked_whatever_it_looks_like(form: LogFormat, name: str, value: object) -> None:
    line = render(_record("x", {name: value, "tokens": 17}), form)
    assert str(value) not in line
    assert "***" in line
    assert "17" in line


def _record(name: str, fields: dict[str, object], exc_info: object = None) -> logging.LogRecord:
    record = logging.LogRecord("skep.x", logging.INFO, __file__, 1, name, (), exc_info)  # type: ignore[arg-type]
    record.skep_fields = fields
    return record


def test_text_is_one_line_whatever_stands_in_a_field() -> None:
    line = render(_record("request", {"route": "/a b", "bad": "x\x1b[2J\ny", "none": None, "key": KEY}), "text", TRACE)
    assert "\n" not in line
    assert "\x1b" not in line
    assert 'route="/a b"' in line
    assert "none" not in line
    assert "A" * 49 not in line
    assert line.endswith(f"trace={TRACE}")


@pytest.mark.parametrize("text", ["\N{LATIN SMALL LETTER LONG S}ecret=hunter2", "to\N{KELVIN SIGN}en=hunter2"])
def test_letters_that_only_patterns_take_for_ours_hide_nothing(text: str) -> None:
    assert "hunter2" not in masked(text)
    assert "hunter2" not in render(_record("x", {"said": text}), "json")


def test_json_is_one_object() -> None:
    line = render(_record("request", {"status": 200, "path": "a\nb"}), "json", TRACE)
    found = json.loads(line)
    assert (found["event"], found["level"], found["status"], found["path"], found["trace"]) == (
        "request",
        "info",
        200,
        "a\nb",
        TRACE,
    )


def test_an_exception_is_told_in_both_forms() -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        info = sys.exc_info()
    text, encoded = (render(_record("broke", {}, info), form) for form in ("text", "json"))
    assert "ValueError" in text
    assert "ValueError" in json.loads(encoded)["exception"]
    assert "hunter2" not in text + encoded


def test_configured_logging_writes_events_of_the_wanted_level() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    logger = logging.getLogger("skep.test")
    with tracing(TRACE):
        event(logger, logging.INFO, "seen", count=1)
        event(logger, logging.DEBUG, "unseen")
    logging.getLogger("procrastinate").info("their own words")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["count"], line["trace"]) for line in lines] == [("seen", 1, TRACE)]


class SlowStream(io.StringIO):
    """A file on a disk that is busy with something else."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.is_writing = threading.Event()

    @override
    def write(self, text: str) -> int:
        self.is_writing.set()
        self.may_go_on.wait(10)
        return super().write(text)


def test_lines_written_aside_hold_nobody_up_and_keep_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    stream = SlowStream()
    configure_logging("info", "json", stream, aside=True)
    logger = logging.getLogger("skep.test")
    began = time.monotonic()
    for number in range(100):
        with tracing(f"{number:032x}"):
            event(logger, logging.INFO, "seen", count=number)
    assert time.monotonic() - began < 5
    assert stream.getvalue() == ""
    stream.may_go_on.set()
    for last in at_exit:
        last()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["count"], line["trace"]) for line in lines] == [(number, f"{number:032x}") for number in range(100)]


def test_what_is_said_while_a_write_is_under_way_is_written_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    stream = SlowStream()
    configure_logging("info", "json", stream, aside=True)
    logger = logging.getLogger("skep.test")
    event(logger, logging.INFO, "first")
    assert stream.is_writing.wait(10)
    event(logger, logging.INFO, "last")
    threading.Timer(0.05, stream.may_go_on.set).start()
    at_exit[0]()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["first", "last"]


def test_a_faulty_line_does_not_fail_who_says_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    stream = io.StringIO()
    configure_logging("info", "json", stream, aside=True)
    logging.getLogger("skep.test").info("%d", "no number")
    logging.getLogger("skep.test").info("whole")
    at_exit[0]()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["whole"]
    assert "no number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        (None, False),
        ("", False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", False),
        (TRACE, False),
    ],
)
def test_a_callers_trace_is_kept_if_it_is_one(header: str | None, kept: bool) -> None:
    found = trace_id_of(header)
    assert (found == TRACE) is kept
    assert len(found) == 32
