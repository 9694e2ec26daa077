"""Pictures: said to be such. What they show takes a model that sees, which is asked elsewhere (`Document.picture_pages`)."""

from __future__ import annotations

from skep.documents.drafting import Draft, Source
from skep.documents.models import Document


def read(source: Source) -> Document:  # noqa: ARG001 -- as all readers
    """Never takes the picture apart."""
    draft = Draft("image", "page", page_count=1, picture_pages=[1])
    draft.notes.append("It is a picture: there is no text to read without a model that sees.")
    return draft.finished()
