"""What Gemini's format can say that the others can, field by field; see `tests.translations`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.translation_sample import BASE, Sample

_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
_PICTURE = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
_GENERATED_CALL = {"id": "c", "name": "f", "args": {}}
_DECLARED = {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}
_TWO = {"functionDeclarations": [{"name": name} for name in "fg"]}
_THREE = {"functionDeclarations": [{"name": name} for name in "fgh"]}


def _said(*parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"contents": [*BASE["gemini"]["contents"], {"role": "user", "parts": list(parts)}]}


def _modelled(*parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"contents": [*BASE["gemini"]["contents"], {"role": "model", "parts": list(parts)}]}


def _generated(call: Mapping[str, Any], **more: object) -> dict[str, Any]:
    result = {"functionResponse": {"id": "c", "name": "f", "response": {"output": "r"}, **more}}
    return {"contents": [*_modelled({"functionCall": call})["contents"], {"role": "user", "parts": [result]}]}


def _config(mode: str, *names: str) -> dict[str, Any]:
    named = {"allowedFunctionNames": list(names)} if names else {}
    return {"toolConfig": {"functionCallingConfig": {"mode": mode, **named}}}


def _thinks(**config: object) -> dict[str, Any]:
    return {"generationConfig": {"thinkingConfig": config}}


GEMINI_SAMPLES: tuple[Sample, ...] = (
    Sample("`systemInstruction`", {"systemInstruction": {"parts": [{"text": "s"}]}}, "said"),
    Sample("contents: picture in base64", _said({"inlineData": {"mimeType": "image/png", "data": "AA=="}}), "said"),
    Sample(
        "contents: picture by address",
        _said({"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}}),
        "said",
    ),
    Sample(
        "contents: PDF in base64",
        _said({"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}}),
        "said",
    ),
    Sample(
        "contents: PDF by address, files that Google keeps",
        _said({"fileData": {"mimeType": "application/pdf", "fileUri": "https://x/y.pdf"}}),
        "refused",
    ),
    Sample("contents: audio, video", _said({"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}), "refused"),
    Sample("contents: calls of functions and their results", _generated(_GENERATED_CALL), "said"),
    Sample("contents: results of functions: pictures", _generated(_GENERATED_CALL, parts=[_PICTURE]), "said"),
    Sample("contents: earlier thinking", _modelled({"text": "t", "thought": True}, {"text": "x"}), "left out"),
    Sample("contents: `thoughtSignature`", _modelled({"text": "x", "thoughtSignature": "AA=="}), "left out"),
    Sample(
        "contents: code that was run",
        _modelled({"executableCode": {"language": "PYTHON", "code": "1"}}),
        "refused",
    ),
    Sample(
        "contents: `videoMetadata`, `mediaResolution`",
        _said({"text": "x", "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}),
        "refused",
    ),
    Sample("`tools`: functions", {"tools": [_DECLARED]}, "said"),
    Sample("`tools`: the provider's own", {"tools": [{"googleSearch": {}}]}, "refused"),
    Sample(
        "`tools`: `response`",
        {"tools": [{"functionDeclarations": [{"name": "f", "response": {"type": "STRING"}}]}]},
        "refused",
    ),
    Sample("`toolConfig`: `ANY`", {"tools": [_DECLARED], **_config("ANY")}, "said"),
    Sample("`toolConfig`: `NONE`", {"tools": [_DECLARED], **_config("NONE")}, "said"),
    Sample("`toolConfig`: `VALIDATED`", {"tools": [_DECLARED], **_config("VALIDATED")}, "said"),
    Sample("`toolConfig`: one function", {"tools": [_TWO], **_config("ANY", "f")}, "said"),
    Sample("`toolConfig`: some of the functions", {"tools": [_THREE], **_config("ANY", "f", "g")}, "refused"),
    Sample("`generationConfig.maxOutputTokens`", {"generationConfig": {"maxOutputTokens": 5}}, "said"),
    Sample("`generationConfig.temperature`", {"generationConfig": {"temperature": 0.5}}, "said"),
    Sample("`generationConfig.topP`", {"generationConfig": {"topP": 0.5}}, "said"),
    Sample("`generationConfig.topK`", {"generationConfig": {"topK": 5}}, "refused", {"messages": "said"}),
    Sample(
        "`generationConfig.stopSequences`",
        {"generationConfig": {"stopSequences": ["END"]}},
        "said",
        {"responses": "refused"},
    ),
    Sample("`generationConfig.candidateCount`: more than 1", {"generationConfig": {"candidateCount": 2}}, "refused"),
    Sample("`generationConfig.seed`", {"generationConfig": {"seed": 7}}, "refused", {"chat": "said"}),
    Sample(
        "`generationConfig.frequencyPenalty`, `presencePenalty`",
        {"generationConfig": {"presencePenalty": 0.5}},
        "refused",
        {"chat": "said"},
    ),
    Sample(
        "`generationConfig.responseSchema`",
        {"generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}},
        "said",
    ),
    Sample(
        "`generationConfig.responseJsonSchema`",
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": _SCHEMA}},
        "said",
    ),
    Sample(
        "`generationConfig.responseMimeType`: JSON without a schema",
        {"generationConfig": {"responseMimeType": "application/json"}},
        "said",
        {"messages": "refused"},
    ),
    Sample("`generationConfig.thinkingConfig.thinkingBudget`", _thinks(thinkingBudget=2000), "said"),
    Sample("`generationConfig.thinkingConfig.thinkingLevel`", _thinks(thinkingLevel="LOW"), "said"),
    Sample(
        "`generationConfig.responseModalities`: other than text",
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
        "refused",
    ),
    Sample("`generationConfig.responseLogprobs`", {"generationConfig": {"responseLogprobs": True}}, "refused"),
    Sample("`generationConfig.speechConfig`", {"generationConfig": {"speechConfig": {}}}, "refused"),
    Sample("`generationConfig.mediaResolution`", {"generationConfig": {"mediaResolution": "HIGH"}}, "refused"),
    Sample(
        "`safetySettings`: filters off",
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
        "left out",
    ),
    Sample(
        "`safetySettings`: filters on",
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]},
        "refused",
    ),
    Sample("`cachedContent`", {"cachedContent": "cachedContents/x"}, "refused"),
    Sample("`serviceTier`: `flex`, `priority`", {"serviceTier": "flex"}, "said", {"messages": "refused"}),
    Sample("`store`: `true`", {"store": True}, "refused"),
    Sample("`labels`", {"labels": {"a": "b"}}, "left out"),
    Sample("a stream, by its address", {"stream": True}, "said"),
    Sample("what is not known", {"brandNew": 1}, "refused"),
)
