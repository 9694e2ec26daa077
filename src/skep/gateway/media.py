"""Calls about pictures and sound: what they are paid by, and how much that is at most. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from skep.gateway.forms import Form
from skep.gateway.models import Route
from skep.gateway.profiles import Face
from skep.gateway.usage import Billing, ImagesMade
from skep.spend import Price, Rates, Usage, make_price

IMAGES: tuple[Face, ...] = ("images.generations", "images.edits", "images.variations")
LISTENING: tuple[Face, ...] = ("audio.transcriptions", "audio.translations")
SPEECH: Face = "audio.speech"
MEDIA: frozenset[Face] = frozenset((*IMAGES, *LISTENING, SPEECH))

TOKENS_PER_SECOND = 20
"""Of audio, at most: 10 to 17 are billed by OpenAI's models, which price theirs at about a thousand for a minute."""

_SPOKEN_TOKENS_PER_CHARACTER = 1.5
"""About what is put out where a provider does not say it: 15 characters take a second to say, and that has some 20 tokens."""

_PIXELS_PER_TOKEN = 250
"""Of a picture in high quality: 4,160 tokens for 1024 x 1024 (https://developers.openai.com/api/docs/guides/image-generation#cost-and-latency)."""


@dataclass(frozen=True, slots=True)
class Media:
    """What such a request asks for."""

    face: Face
    form: Form | None
    """None: its body is JSON."""
    input_tokens: int = 0
    """About what goes in, where no provider says it."""
    output_tokens: int = 0
    """The same of what comes out."""
    images: ImagesMade | None = None
    """Pictures that are asked for; None: none."""
    characters: int = 0
    """Of a text that is to be spoken."""
    audio_ms: int = 0
    """About how long that is what is to be listened to, where no provider says it."""
    audio_ms_at_most: int = 0

    def billed(self, told: Usage, price: Price | None, *, is_estimated: bool = False) -> tuple[Usage, bool]:
        """What is paid, by what the price is for, and whether it had to be estimated.

        ``told``: by the provider, if anything; ``is_estimated``: it is ours already.
        """
        rates = None if price is None else price.rates
        if self.face == SPEECH and (rates is None or rates.input_nusd_per_mchar is not None):
            return Usage(0, output_tokens=0, characters=self.characters), False
        if rates is not None and rates.audio_nusd_per_hour is not None:
            heard = told.audio_ms is not None
            return replace(
                told, input_tokens=0, output_tokens=0, audio_ms=told.audio_ms if heard else self.audio_ms
            ), not heard
        if (
            rates is not None
            and not (rates.input_nusd_per_mtok or rates.output_nusd_per_mtok)
            and told.input_tokens is None
        ):
            # It is paid by the picture, or by the call.
            return replace(told, input_tokens=0, output_tokens=0), False
        if told.input_tokens is not None and not is_estimated:
            return told, False
        if price is None and told.audio_ms is not None:
            return replace(told, input_tokens=0, output_tokens=0), False
        return replace(told, input_tokens=self.input_tokens, output_tokens=self.output_tokens), True

    def spoken_tokens(self) -> int:
        """About how many tokens the sound of its text has."""
        return round(self.characters * _SPOKEN_TOKENS_PER_CHARACTER)


def usual_picture_tokens(pixels: int) -> int:
    """About how many tokens a picture has."""
    return -(-pixels // _PIXELS_PER_TOKEN)


def price_of_media(route: Route, media: Media, billing: Billing | None = None) -> Price | None:
    """What a call by this route costs. ``billing``: what its answer says; None: the most that it may be."""
    if media.images is None or not route.image_prices:
        return route.price
    made = media.images if billing is None or billing.images is None else billing.images.or_as(media.images)
    unit = image_nusd(dict(route.image_prices), made)
    if unit is None:
        return None
    terms = " ".join(filter(None, (str(made.count), "images", made.quality, made.size)))
    return make_price(Rates(0, 0), request_nusd=made.count * unit, terms=terms)


def image_nusd(prices: Mapping[str, int], made: ImagesMade) -> int | None:
    """What one such picture costs: the price for its quality and its size, for one of them, or for any other; None: unknown.

    Where nobody says a quality, a price without one counts. What is left to the provider costs the dearest that it can be, and so does
    what the provider may take for something dear: a word for the quality that is not known here, a size that is none, or one beyond all
    that have a price.
    """
    made = ImagesMade(made.count, spelled(made.quality), spelled(made.size))
    words = {word for name in prices if name != ANY_IMAGE for word in name.split()}
    if AUTO not in (made.quality, made.size):
        names = (f"{made.quality} {made.size}".strip(), made.quality, made.size)
        found = next((prices[name] for name in names if name in prices), None)
        if found is None and made.quality and made.size:
            found = prices.get(ANY_IMAGE)
            if found is None:
                return None
            # A quality that has prices of its own is not any other picture, whatever its size.
            beside = made.quality in words
        else:
            beside = False
        quality = AUTO if _is_strange_quality(made.quality, words) else made.quality
        size = AUTO if beside or _is_strange_size(made.size, words) else made.size
        if found is not None and AUTO not in (quality, size):
            return found
        made = ImagesMade(made.count, quality, size)
    fitting = [price for name, price in prices.items() if name == ANY_IMAGE or _may_be(name, made)]
    return max(fitting, default=None)


AUTO = "auto"
"""The provider chooses a size, or a quality."""

ANY_IMAGE = "*"
"""The price of a picture of which the others say nothing."""

_USUAL_QUALITIES = ("", "standard", "low", "medium")
"""Never the dearest of a provider."""

_SIZE = re.compile(r"0*([1-9][0-9]{0,4})\s*[x\u00d7*]\s*0*([1-9][0-9]{0,4})")


def spelled(word: str) -> str:
    """A size or a quality as the prices write it: providers may take ``HIGH`` and ``01024X1024`` as well."""
    word = word.strip().lower()
    found = _SIZE.fullmatch(word)
    return word if found is None else f"{found[1]}x{found[2]}"


def pixels_of(size: str) -> int | None:
    """Of a size that is spelled so; None: it is none."""
    found = _SIZE.fullmatch(size)
    return None if found is None else int(found[1]) * int(found[2])


def _is_strange_quality(quality: str, words: Collection[str]) -> bool:
    """Whether prices by quality do not say what this word costs."""
    by_quality = any(pixels_of(word) is None for word in words)
    return by_quality and quality not in words and quality not in _USUAL_QUALITIES


def _is_strange_size(size: str, words: Collection[str]) -> bool:
    """Whether prices by size do not say what this one costs: up to the largest of them, the price of any other picture does."""
    largest = max((pixels_of(word) or 0 for word in words), default=0)
    return largest > 0 and size not in ("", *words) and (pixels_of(size) or largest + 1) > largest


def _may_be(name: str, made: ImagesMade) -> bool:
    """Whether a picture may have this price of which something is not known."""
    words = name.split()
    is_size = [word[:1].isdigit() for word in words]
    return all(
        (made.size if sized else made.quality) in ("", AUTO, word) for word, sized in zip(words, is_size, strict=True)
    )


BATCHES = (
    *("batch_size", "num_images", "num_images_per_prompt", "num_outputs", "number_of_images", "number_results"),
    *("image_count", "sample_count", "num_samples", "n_samples", "n_images", "n_iter", "samples", "max_images"),
)
"""Other providers' names for ``n``: which of them an endpoint goes by, nobody here knows."""

MEDIA_KEYS = (
    *("size", "quality", "output_format", "partial_images", "frame_count", "svg", "image", "images", "mask"),
    *("input", "instructions", "stream_format", "file", "input_audio", "file_id", "file_url", "audio_url", "url"),
    *BATCHES,
)
"""What we go by in such requests besides what all have."""
