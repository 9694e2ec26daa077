"""Names of models in commands, looked up in the settings: a name that is not there may be for later, or mistyped. Pure.

By the settings as they are written, not by the gateway, which takes a fifth of a second to load.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from skep.access import allows_model
from skep.settings import OpenSection, nearest_word


def names_in(sections: Mapping[str, OpenSection]) -> list[str]:
    """What keys may be for: the models, their tiers, the services and the model that is part of Skep; empty where no models are configured."""
    models = _tables(sections, "models")
    if not models:
        return []
    tiers = dict.fromkeys(f"tier:{model['tier']}" for model in models.values() if _has_tier(model))
    return [*models, *tiers, *(f"service:{name}" for name in _tables(sections, "services")), "local"]


def unmatched(entries: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """A sentence for each entry of a list of models that is for none of those that are known; an entry may end with ``*``."""
    for entry in entries:
        if not any(allows_model((entry,), name) for name in known):
            nearest = nearest_word(entry.removesuffix("*"), list(known))
            yield f"no model of the settings is called {entry}{f'; did you mean {nearest}?' if nearest else '.'}"


def _tables(sections: Mapping[str, OpenSection], name: str) -> dict[str, Any]:
    section = sections.get(name)
    return section.value if section is not None and isinstance(section.value, dict) else {}


def _has_tier(model: object) -> bool:
    return isinstance(model, dict) and isinstance(model.get("tier"), str)
