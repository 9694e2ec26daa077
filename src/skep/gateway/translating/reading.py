"""Reads objects of requests so that nothing is passed over: what is not taken is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from skep.gateway.translating.interfaces import UntranslatableError
from skep.gateway.translating.models import ToolChoice

T = TypeVar("T")

_NAMES: Mapping[object, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_NAMES = {**_NAMES, dict: "an object", list: "a list"}


class Fields:
    """One object. ``path`` is its name in the request, empty for the request itself."""

    def __init__(self, values: object, path: str = "") -> None:
        """Raises UntranslatableError when it is no object."""
        if not isinstance(values, Mapping):
            raise UntranslatableError(path or "the body", "must be an object")
        self.path = path
        # null says what absence says, in every format.
        self._left = {key: value for key, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def at(self, name: str) -> str:
        """The full name of a field."""
        return f"{self.path}.{name}" if self.path else name

    def any(self, name: str) -> Any:  # noqa: ANN401 -- JSON
        """The value of a field; None when it is absent."""
        return self._left.pop(name, None)

    def get(self, name: str, kind: type[T]) -> T | None:
        """The value of a field, which must be of the kind; None when it is absent."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if kind is float and type(value) is int:
            return value  # type: ignore[return-value]  # a whole number is a number, too
        if type(value) is not kind:
            raise UntranslatableError(self.at(name), f"must be {_NAMES[kind]}")
        return value

    def need(self, name: str, kind: type[T]) -> T:
        """The value of a field that must be there."""
        value = self.get(name, kind)
        if value is None:
            raise UntranslatableError(self.at(name), "is missing")
        return value

    def objects(self, name: str) -> Iterator[Fields]:
        """The elements of a list of objects; of an absent one none."""
        for index, value in enumerate(self.get(name, list) or ()):
            yield Fields(value, f"{self.at(name)}.{index}")

    def inner(self, name: str) -> Fields | None:
        """An object; None when it is absent."""
        value = self.get(name, dict)
        return None if value is None else Fields(value, self.at(name))

    def says(self, name: str, value: object) -> bool:
        """Whether a field says just that; it is not taken."""
        return name in self._left and self._left[name] == value

    def drop(self, *names: str) -> None:
        """Leave out what changes nothing."""
        for name in names:
            self._left.pop(name, None)

    def drop_neutral(self, neutral: Mapping[str, tuple[object, ...]]) -> None:
        """Leave out fields that say what counts without them."""
        for name, values in neutral.items():
            if name in self._left and self._left[name] in values:
                del self._left[name]

    def rest(self) -> dict[str, Any]:
        """What was not taken."""
        rest, self._left = self._left, {}
        return rest

    def finish(self) -> None:
        """Everything must have been taken."""
        for name in self._left:
            raise UntranslatableError(self.at(name), "cannot be said in the format of the provider")

    def refuse(self, name: str, reason: str = "cannot be said in the format of the provider") -> UntranslatableError:
        """The error for one of its fields."""
        return UntranslatableError(self.at(name), reason)


def read_tool_choice(fields: Fields, name_of: Callable[[Fields], str]) -> ToolChoice:
    """What OpenAI's formats say of which tool is to be called. ``name_of`` reads the name of a chosen function, which each keeps elsewhere.

    Raises UntranslatableError.
    """
    parallel = fields.get("parallel_tool_calls", bool)
    if not isinstance(choice := fields.any("tool_choice"), dict):
        modes: Mapping[object, Any] = {None: None, "auto": "auto", "none": "none", "required": "any"}
        if not isinstance(choice, str | None) or choice not in modes:
            raise fields.refuse("tool_choice", "must be auto, none, required or a function")
        return ToolChoice(modes[choice], None, parallel)
    inner = Fields(choice, "tool_choice")
    if inner.any("type") != "function":
        raise inner.refuse("type", "only a function can be said in the format of the provider")
    name = name_of(inner)
    inner.finish()
    return ToolChoice("one", name, parallel)
