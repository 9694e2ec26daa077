"""What a client is told to do for a refused call to cost less, or for its cost to be known. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from skep.gateway.media import BATCHES, IMAGES, LISTENING, SPEECH
from skep.gateway.profiles import Face
from skep.gateway.requests import Known

_TOKENS = "Ask for fewer tokens"
_LESS: Mapping[Face, str] = {
    **dict.fromkeys(
        IMAGES,
        "Name a size and a quality (of what is left open the dearest is reserved; low and medium cost less), or ask for fewer pictures",
    ),
    SPEECH: "Send a shorter text",
    **dict.fromkeys(LISTENING, "Send a shorter recording"),
    "embeddings": "Send less text at once",
    "moderations": "Send less text at once",
    "rerank": "Send fewer or shorter documents",
}
"""Other calls are bounded by the tokens that they ask for."""

_WHOLE_RECORDING = "Send the recording itself, as a file or written out in base64: how long one is that is only named nobody here knows"
_KNOWN: Mapping[str, str] = {
    "service_tier": "Leave service_tier out, or let an administrator say what it costs: models.{model}.service_tiers",
    "web_search_options": "Leave web_search_options out, or let an administrator say what it costs: models.{model}.search_usd",
    "tools": (
        "Leave out the tools that the provider runs itself (such as googleSearch, web_search or code_execution);"
        " functions that the client runs are no matter"
    ),
    "svg": "Leave svg out: whoever writes such a drawing bills tokens besides",
    "output_format": "Ask for png, jpeg or webp: whoever writes a drawing in svg bills tokens besides",
    "prompt": "Write the instructions into the request: a prompt that the provider has stored may bring tools of its own",
    **dict.fromkeys(("file", "file_id", "file_url", "input_audio", "audio_url", "url"), _WHOLE_RECORDING),
    **dict.fromkeys(BATCHES, "Leave {field} out, and say with n how many pictures there shall be"),
    **dict.fromkeys(
        ("generationConfig.responseModalities", "generationConfig.response_modalities"),
        "Ask for text alone; pictures and speech have addresses of their own, /v1/images/generations and /v1/audio/speech",
    ),
}
"""By the field whose cost is not known. Others can only be left out."""


def saving_of(known: Known, model: str, dear_field: str | None) -> str:
    """What to do for a call to cost less; with a ``dear_field``, because of which nobody knows its cost, for that to be known.

    The beginning of a sentence.
    """
    if dear_field is None:
        return _LESS.get(known.face, _TOKENS)
    # Of those that take forms none is known that has tiers, so no setting says what one costs.
    is_known = dear_field in _KNOWN and not (dear_field == "service_tier" and known.form_type is not None)
    return (_KNOWN[dear_field] if is_known else "Leave {field} out").format(field=dear_field, model=model)
