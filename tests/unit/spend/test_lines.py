"""Whatever people call things, a line stays one line with its columns."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from skep.spend import Ask, Caller, Charge, Settlement, Step, Usage
from skep.spend.lines import COLUMNS, begin_line, caller_columns, cell, end_line, head
from skep.spend.tickets import HeldTicket

TEXT = st.text(max_size=600) | st.sampled_from([r"\N", "\\", "\t", "a\nb", "\x00", "\ud800", r"\.", "é" * 600])


def unescaped(text: str) -> str | None:
    """As COPY reads a cell."""
    if text == r"\N":
        return None
    out, index = "", 0
    while index < len(text):
        if text[index] == "\\":
            out += {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}[text[index + 1]]
            index += 2
        else:
            out += text[index]
            index += 1
    return out


def kept(text: str | None) -> str | None:
    """What of a text can be kept."""
    return None if text is None else text[:500].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


@given(st.none() | TEXT)
def test_a_cell_comes_back_as_it_went_in(text: str | None) -> None:
    assert unescaped(cell(text)) == kept(text)


@given(TEXT, st.none() | TEXT, st.lists(TEXT, max_size=3), TEXT)
def test_lines_have_their_columns(name: str, user: str | None, tags: list[str], model: str) -> None:
    caller = Caller(7, "key", name, user, None, None, tuple(tags))
    ask = Ask(caller, model, 1, 2, None, trace_id=name)
    ticket = HeldTicket(ask, 1, holds=[], head=head(ask, 1, caller_columns(caller, model)), worst_nusd=None)
    steps = (Step(name, "timeout", user or "", 1.5),)
    settled = Settlement("ok", Usage(1, 2), provider=name, model_used=model, ttft_ms=1.5, tried=steps)
    for line in (begin_line(ticket, None), end_line(ticket, settled, Charge(3, 4, False, None), [])):
        assert line.endswith("\n")
        line.encode()
        assert "\n" not in line[:-1]
        cells = dict(zip(COLUMNS, line[:-1].split("\t"), strict=True))
        assert unescaped(cells["key_name"]) == kept(name)
        assert unescaped(cells["user_name"]) == kept(user)
        assert unescaped(cells["model"]) == kept(model)
        assert unescaped(cells["trace_id"]) == kept(name)
        assert cells["call_id"] == ask.call_id
    ended = end_line(ticket, settled, Charge(3, 4, False, None), [])
    tried = unescaped(ended.split("\t")[COLUMNS.index("tried")]) or ""
    assert [step["outcome"] for step in json.loads(tried)] == ["timeout"]
    # What jsonb refuses.
    assert "\\u0000" not in tried.replace("\\\\", "")
