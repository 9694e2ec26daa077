"""Texts that want to lead a model astray, by clues with weights. Pure. A heuristic: it finds what is written as such texts usually are."""

from __future__ import annotations

import re
import unicodedata

from skep.gateway.models import Guard

_MOST_CHARACTERS = 65_536
"""Of a longer text its beginning and its end are looked at: there such words stand."""

CLUES: tuple[tuple[str, float], ...] = (
    (
        r"\b(?:ignore|disregard|override|bypass|do not follow|don't follow)\b.{0,40}\b(?:previous|prior|above|earlier|preceding|foregoing"
        r"|all|any|your|the|system)\b.{0,30}\b(?:instructions?|prompts?|rules?|guidelines?|directions?|messages?|context|training)\b",
        1.0,
    ),
    (
        r"\bforget\b.{0,30}\b(?:everything|previous|prior|above|earlier|your|these)\b.{0,30}\b(?:instructions?|prompts?|rules?|guidelines?|training"
        r"|told|said)\b",
        1.0,
    ),
    (
        r"\b(?:vergiss|ignoriere|missachte)\b.{0,40}\b(?:vorherigen|bisherigen|obigen|alle|deine)\b.{0,30}\b(?:anweisungen|regeln|vorgaben)\b",
        1.0,
    ),
    (
        r"\b(?:ignora|olvida|ignorez|oublie[zr]?|dimentica)\b.{0,40}\b(?:instrucciones|instructions|istruzioni|reglas|r\u00e8gles|regole)\b",
        1.0,
    ),
    (
        r"\b(?:reveal|print|show|repeat|output|display|leak|tell me|what (?:is|are|was|were))\b.{0,40}\b(?:system|hidden|initial|original|secret"
        r"|developer)\b.{0,10}\b(?:prompt|instructions?|messages?|rules)\b",
        0.7,
    ),
    (r"\brepeat (?:everything|all|the words|the text) (?:above|before)\b", 0.7),
    (
        r"\byou are (?:now|no longer)\b.{0,60}\b(?:dan|jailbroken|unrestricted|unfiltered|uncensored|evil|bound|an? ai|a language model)\b",
        0.8,
    ),
    (r"\b(?:do anything now|developer mode (?:enabled|on)|jailbreak(?:ed)?|god mode|dan mode)\b", 0.7),
    (
        r"\b(?:pretend|act|behave|roleplay)\b.{0,40}\b(?:no|without|free of)\b.{0,20}\b(?:restrictions?|rules|filters?|limits?|guidelines|ethics)\b",
        0.7,
    ),
    (
        r"<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[/?inst\]|<<sys>>|^#{2,} ?(?:system|new instructions?)\b",
        0.7,
    ),
    (r"\b(?:new|updated|real|actual) (?:system )?(?:instructions?|prompt|task)\b ?(?::|are|is|follow)", 0.5),
    (r"^ ?(?:system|assistant|developer) ?:", 0.3),
    (r"\b(?:send|post|forward|upload|exfiltrate|e-?mail)\b.{0,60}\b(?:to|at)\b.{0,20}(?:https?://|@)", 0.4),
    (r"\bdo not (?:tell|mention|inform|reveal (?:this )?to)\b.{0,20}\b(?:the )?(?:user|anyone|human)\b", 0.5),
    (r"\bbase64\b.{0,40}\b(?:decode|decoded)\b.{0,60}\b(?:follow|execute|obey|run)\b", 0.6),
)
"""What stands in the attempts that are published, and how much it tells by itself; from 1 on a text is one."""

_CLUES = tuple((re.compile(pattern, re.MULTILINE | re.DOTALL), weight) for pattern, weight in CLUES)
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_SPACE = re.compile(r"[^\S\n]+")


def injection_score(text: str) -> float:
    """The sum of the clues' weights, each once; characters that nobody sees count as none."""
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = text[:half] + "\n" + text[-half:]
    seen = _UNSEEN.sub("", text)
    plain = _SPACE.sub(" ", unicodedata.normalize("NFKC", seen).casefold())
    # Tags that are not seen are only used to hide words.
    hidden = 0.5 if re.search(r"[\U000e0020-\U000e007e]{4}", text) else 0.0
    return hidden + sum(weight for pattern, weight in _CLUES if pattern.search(plain) is not None)


def is_injection(guard: Guard, text: str) -> bool:
    """Whether a text has as many clues as a guard does not suffer."""
    return injection_score(text) >= guard.injection_score
