"""What models are for, by what is known of them."""

from __future__ import annotations

import pytest

from skep.gateway.purposes import Purpose, is_for, purpose_of
from skep.spend import Price, Rates, make_price

BY_NAME: dict[str, Purpose | None] = {
    "gpt-4o": None,
    "claude-sonnet-4-5": None,
    "deepseek-chat": None,
    "mistral-small": None,
    "gpt-4o-audio-preview": None,
    "imagery-writer": None,
    "phi-4-multimodal": None,
    "GPT-4o-Transcribe": "transcription",
    "whisper-large-v3-turbo": "transcription",
    "gpt-4o-mini-tts": "speech",
    "tts-1-hd": "speech",
    "gpt-4o-realtime-preview": "speech",
    "gpt-image-1": "picture",
    "dall-e-3": "picture",
    "black-forest-labs/FLUX.1": "picture",
    "gemini-2.5-flash-image": "picture",
    "text-embedding-3-small": "embedding",
    "BAAI/bge-m3": "embedding",
    "voyage-3": "embedding",
    "BAAI/bge-reranker-v2-m3": "ranking",
    "rerank-v3.5": "ranking",
    "omni-moderation-latest": "moderation",
}
TOKENS = make_price(Rates(1_000, 2_000))
BY_PRICE: dict[str, tuple[Price, Purpose | None]] = {
    "tokens": (TOKENS, None),
    "characters": (make_price(Rates(0, 0, input_nusd_per_mchar=5)), "speech"),
    "hours": (make_price(Rates(0, 0, audio_nusd_per_hour=5)), "transcription"),
    "tokens and hours": (make_price(Rates(1, 0, audio_nusd_per_hour=5)), None),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_name_tells_what_a_model_is_for(name: str) -> None:
    assert purpose_of(name, TOKENS, sells_pictures=False) == BY_NAME[name]


@pytest.mark.parametrize("what", BY_PRICE)
def test_a_price_for_one_thing_alone_tells_it(what: str) -> None:
    price, purpose = BY_PRICE[what]
    assert purpose_of("anything", price, sells_pictures=False) == purpose
    assert purpose_of("anything", price, sells_pictures=True) == "picture"


def test_what_nobody_knows_may_be_for_anything() -> None:
    assert is_for(None, "audio.speech")
    assert is_for("text", "responses")
    assert not is_for("speech", "chat.completions")
    assert not is_for("text", "embeddings")
