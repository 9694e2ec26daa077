"""What the settings say of models that cannot come true, or only in part: nothing is refused for it, but whoever checks them is told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from skep.settings import OpenSection, Problem

_PICTURES = ("image_usd", "image_usd_by")


def doubts(sections: Mapping[str, OpenSection], *, embeds: bool) -> Iterator[Problem]:
    """Everything doubtful in valid settings. ``embeds``: whether the local model for embeddings is on."""
    models = sections.get("models")
    if models is None or not isinstance(models.value, dict):
        return
    for name, model in models.value.items():
        if not embeds and model.get("semantic_cache") is not None:
            reason = "does nothing while embedding.enabled is false: questions in other words are found by embeddings"
            yield _doubt(models, (name, "semantic_cache"), reason)
        usual = _pictures(model)
        for index, route in enumerate(model["routes"]):
            own = _pictures(route)
            dropped = [each for each in usual if own and each not in own]
            if dropped:
                said = next(each for each in _PICTURES if route.get(each) is not None)
                reason = f"counts alone by this route, without what the model says: {', '.join(dropped)}"
                yield _doubt(models, (name, "routes", index, said), reason)


def _pictures(table: Mapping[str, object]) -> list[str]:
    """The prices of pictures that a model or a route names."""
    by = table.get("image_usd_by")
    named = [f"image_usd_by.{name}" for name in by] if isinstance(by, dict) else []
    return named if table.get("image_usd") is None else ["image_usd", *named]


def _doubt(section: OpenSection, path: tuple[str | int, ...], reason: str) -> Problem:
    return Problem(section.place(path), ".".join((section.name, *map(str, path))), reason)
