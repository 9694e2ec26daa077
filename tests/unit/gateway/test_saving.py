"""What is said to do about a call that costs too much, or nobody knows what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from skep.gateway.generate_requests import Named
from skep.gateway.media_requests import read_media
from skep.gateway.profiles import Face
from skep.gateway.requests import Known, read_request
from skep.gateway.saving import saving_of


def asked(face: Face, **values: Any) -> Known:
    return read_request(face, orjson.dumps({"model": "m", **values}))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (asked("chat.completions", service_tier="flex"), "models.m.service_tiers"),
        (asked("responses", input="x", tools=[{"type": "web_search"}]), "tools that the provider runs itself"),
        (asked("chat.completions", plugins=[{"id": "web"}]), "Leave plugins out"),
        (
            read_request("generate_content", b'{"tools": [{"googleSearch": {}}]}', named=Named("m", streams=False)),
            "googleSearch",
        ),
        (read_media("images.generations", b'{"model": "m", "num_images": 2}', b""), "say with n how many"),
        (
            read_media(
                "images.edits",
                b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
                b'--b\r\ncontent-disposition: form-data; name="service_tier"\r\n\r\nflex\r\n--b--\r\n',
                b"multipart/form-data; boundary=b",
            ),
            "Leave service_tier out",
        ),
    ],
)
def test_each_field_of_unknown_cost_has_its_way_out(known: Known, said: str) -> None:
    field = known.dear_field or "service_tier"
    told = saving_of(known, "m", field)
    assert said in told
    assert "{" not in told
    if known.form_type is not None:
        assert "models.m" not in told


@pytest.mark.parametrize(
    ("face", "said"),
    [("chat.completions", "fewer tokens"), ("images.edits", "a size and a quality"), ("rerank", "documents")],
)
def test_what_costs_less_depends_on_what_is_asked_for(face: Face, said: str) -> None:
    assert said in saving_of(replace(asked("embeddings", input="x"), face=face), "m", None)
