"""The early end of a stream of OpenAI's responses, which says everything once more at its end: what that is, is gathered while it passes. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import orjson

from skep.spend import Usage

TEXT_DELTA = "response.output_text.delta"
_ARGUMENTS_DELTA = "response.function_call_arguments.delta"
_BEGINS = ("response.created", "response.in_progress")


class ResponseSoFar:
    """What a stream has said of its response."""

    __slots__ = ("_arguments", "_items", "_number", "_response", "_text")

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        """By their places: those that are whole as they were told at their end, the others as at their beginning."""
        self._text: list[str] = []
        """Of the part that is under way."""
        self._arguments: dict[int, list[str]] = {}
        """Of calls of functions, by their places."""
        self._number = 0
        """Of the event that was told last."""

    def note(self, values: Mapping[str, Any]) -> None:
        """An event has come."""
        kind, number = values.get("type"), values.get("sequence_number")
        self._number = number if isinstance(number, int) else self._number + 1
        if kind == TEXT_DELTA:
            self._text.append(_text(values.get("delta")))
        elif kind == _ARGUMENTS_DELTA:
            self._arguments.setdefault(_place(values), []).append(_text(values.get("delta")))
        elif kind == "response.content_part.added":
            self._text.clear()
        elif kind in _BEGINS:
            self._response = _object(values.get("response"))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[_place(values)] = _object(values.get("item"))

    def ending(self, values: dict[str, Any], event: bytes | None, usage: Usage, *, is_cut: bool) -> list[bytes]:
        """The last piece, and everything that ends the response after it.

        ``values`` is that piece, as far as it is wanted, and was noted as it came; ``event`` is it as it came, None where it is cut.
        """
        if values.get("type") == TEXT_DELTA:
            self._text[-1:] = [_text(values.get("delta"))]
        last = _event(values) if event is None else event
        return [last, *map(_event, self._after(values, usage, is_cut=is_cut))]

    def _after(self, values: Mapping[str, Any], usage: Usage, *, is_cut: bool) -> Iterator[dict[str, Any]]:
        status, place = "incomplete" if is_cut else "completed", _place(values)
        begun = {"id": values.get("item_id"), "type": "message", "role": "assistant"}
        item = self._items.get(place, begun)
        if values.get("type") == TEXT_DELTA:
            part = yield from self._end_part(values)
            before = item.get("content")
            item = {**item, "content": [*(before if isinstance(before, list) else ()), part]}
        elif place in self._arguments:
            # What costs too much may end in the middle of a call: half of one, which says so.
            item = {**item, "arguments": "".join(self._arguments[place])}
        item = self._items[place] = {**item, "status": status}
        yield self._next("response.output_item.done", output_index=place, item=item)
        response = {
            **self._response,
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": [found for _, found in sorted(self._items.items())],
            "usage": _usage(usage),
        }
        yield self._next(f"response.{status}", response=response)

    def _end_part(self, values: Mapping[str, Any]) -> Generator[dict[str, Any], None, dict[str, Any]]:
        """The end of the part of text that is under way, and that part."""
        index = {name: values[name] for name in ("item_id", "output_index", "content_index") if name in values}
        text = "".join(self._text)
        part = {"type": "output_text", "text": text, "annotations": []}
        yield self._next("response.output_text.done", **index, text=text, logprobs=[])
        yield self._next("response.content_part.done", **index, part=part)
        return part

    def _next(self, kind: str, **more: object) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **more}


def _usage(usage: Usage) -> dict[str, Any]:
    entry, output = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": entry,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": entry + output,
    }


def _place(values: Mapping[str, Any]) -> int:
    place = values.get("output_index")
    return place if isinstance(place, int) else 0


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _event(values: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(values["type"]).encode(), orjson.dumps(values))
