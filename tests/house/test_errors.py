"""Every error a person can meet says what happened in one sentence, and what to do."""

from __future__ import annotations

import importlib
import inspect
import re

from skep import errors
from skep.errors import SkepError
from tests.house.source import product, report


def _all_errors() -> list[type[SkepError]]:
    """Every error class of the product, found by importing every module."""
    for module in product():
        if not module.name.endswith(("__main__", ".env")) and ".migrations.versions." not in module.name:
            importlib.import_module(module.name)
    found: list[type[SkepError]] = []
    queue: list[type[SkepError]] = [SkepError]
    while queue:
        cls = queue.pop()
        found.append(cls)
        queue += cls.__subclasses__()
    return sorted(
        (cls for cls in found if cls.__module__.startswith("skep.")), key=lambda cls: (cls.__module__, cls.__name__)
    )


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def test_each_error_is_one_sentence() -> None:
    found = []
    for cls in _all_errors():
        sentence = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
        if not sentence:
            found.append(f"{_name(cls)} has no docstring of its own")
        elif "\n" in sentence or len(sentence) > 240:
            found.append(f"{_name(cls)}: more than one line or 240 characters")
        elif not re.search(r"[.?}]$", sentence) or not re.match(r"[A-Z`{0-9]", sentence):
            found.append(f"{_name(cls)}: not a sentence: {sentence}")
    assert not found, report("the docstring of an error is the sentence its reader sees", found)


def test_each_error_says_what_to_do() -> None:
    found = [
        _name(cls)
        for cls in _all_errors()
        if cls.__module__ != errors.__name__ and not cls.__subclasses__() and not cls.fix.strip()
    ]
    assert not found, report("a leaf error has a `fix`", found)


def test_errors_live_in_interfaces() -> None:
    """One place per capability, so that a reader finds them all, and codes stay unique. A one-file room keeps its own."""
    classes = [cls for cls in _all_errors() if cls.__module__ != errors.__name__]
    single = {module.name for module in product() if module.name.count(".") == 1 and not module.is_package}
    found = [
        _name(cls) for cls in classes if not cls.__module__.endswith(".interfaces") and cls.__module__ not in single
    ]
    assert not found, report("an error belongs in its capability's interfaces.py", found)
    names = [cls.__name__ for cls in classes]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, report("an error's code is its name, so a name stands once", twice)


def test_fields_are_well_formed() -> None:
    """A brace that is no ``{field}`` would be shown as it stands."""
    found = [
        f"{_name(cls)}: {text}"
        for cls in _all_errors()
        for text in (inspect.getdoc(cls) or "", cls.fix)
        if re.search(r"[{}]", re.sub(r"\{\w+\}", "", text))
    ]
    assert not found, report("fields are plain names in braces", found)
