"""The faces that keys can be for. What they are is the gateway's business, which stands on this package; a test holds the two together."""

from __future__ import annotations

from typing import Final

FACES: Final = (
    "chat.completions",
    "completions",
    "embeddings",
    "messages",
    "messages.count_tokens",
    "responses",
    "generate_content",
    "generate_content.count_tokens",
    "moderations",
    "rerank",
    "images.generations",
    "images.edits",
    "images.variations",
    "audio.speech",
    "audio.transcriptions",
    "audio.translations",
    "services",
)
