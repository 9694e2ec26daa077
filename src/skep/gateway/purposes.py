"""What a model is for, where it matters: who may stand in for whom, what a try can ask, what lists of chat models have. Pure.

Kinds of providers say which addresses there are, and with most of them any model could be asked at each; only the model's own name and
price tell that it speaks, draws or listens. What the settings say counts before that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from skep.gateway.profiles import Face
from skep.spend import Price

Purpose = Literal["text", "embedding", "ranking", "moderation", "picture", "speech", "transcription"]
"""What a model gives; ``text`` also where it is asked with pictures or sound. ``speech`` is sound, and what speaks with a person at once."""

FACES_OF: Mapping[Purpose, tuple[Face, ...]] = {
    "text": ("chat.completions", "completions", "messages", "responses", "generate_content"),
    "embedding": ("embeddings",),
    "ranking": ("rerank",),
    "moderation": ("moderations",),
    "picture": ("images.generations", "images.edits", "images.variations"),
    "speech": ("audio.speech",),
    "transcription": ("audio.transcriptions", "audio.translations"),
}
"""The addresses where a model is asked for it."""

_NAMES: Mapping[Purpose, str] = {
    "ranking": r"re-?rank(?:er|ing)?",
    "moderation": r"(?:omni-|text-)?moderation",
    "transcription": r"(?:distil-)?whisper|transcribe|transcription|scribe|asr|stt|parakeet|canary",
    "speech": r"tts|text-to-speech|speech|realtime|kokoro|orpheus|native-audio",
    "picture": r"dall-e|gpt-image|chatgpt-image|imagen|image|flux|sdxl|stable-diffusion|seedream|recraft|ideogram",
    "embedding": r"embed(?:ding|dings|der)?|bge|e5|gte|minilm|all-mpnet|voyage",
}
"""Parts of names, in the order in which they count: a re-ranker may be called after the embeddings that it is made of."""

_PATTERNS = tuple(
    (purpose, re.compile(rf"(?:^|[^a-z0-9])(?:{words})(?:[^a-z]|$)")) for purpose, words in _NAMES.items()
)


def purpose_of(model: str, price: Price | None, *, sells_pictures: bool) -> Purpose | None:
    """What a provider's model is for, by its price where that is for one thing alone, else by its name; None: nothing says so.

    ``sells_pictures``: whether it has a price for each.
    """
    if sells_pictures:
        return "picture"
    if price is not None and not price.rates.input_nusd_per_mtok and not price.rates.output_nusd_per_mtok:
        if price.rates.audio_nusd_per_hour is not None:
            return "transcription"
        if price.rates.input_nusd_per_mchar is not None:
            return "speech"
    name = model.lower()
    return next((purpose for purpose, pattern in _PATTERNS if pattern.search(name)), None)


def is_for(purpose: Purpose | None, face: str) -> bool:
    """Whether a model can be of use at an address, as far as anybody knows."""
    return purpose is None or face in FACES_OF[purpose]
