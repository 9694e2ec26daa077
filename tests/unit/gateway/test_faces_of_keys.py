"""What a key can be for is what there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from skep.access.faces import FACES
from skep.gateway.profiles import Face
from skep.gateway.services import SERVICES_FACE


def test_a_key_can_be_for_every_face_and_for_nothing_else() -> None:
    assert (*get_args(Face), SERVICES_FACE) == FACES


def test_the_guide_names_every_face() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "how-to" / "hand-out-keys.md").read_text("utf-8")
    assert [face for face in FACES if f"`{face}`" not in guide] == []
