"""From text to the model's token ids: as the model was trained, and in bounded time for any text."""

from __future__ import annotations

from typing import Protocol

FIRST_CHARACTERS = 4_096
"""How much of a long text is looked at first: about four times what 256 tokens of ordinary code or prose take."""

LONGEST_WORD = 100
"""``max_input_chars_per_word`` of the tokenizer: the most tokens that one word can become."""


class Encoding(Protocol):
    """What the tokenizer makes of a text; only what we use."""

    @property
    def ids(self) -> list[int]:
        """The token ids."""
        ...


class TextTokenizer(Protocol):
    """The tokenizer of the `tokenizers` package, without truncation; only what we use."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Encoding:
        """Split and look up."""
        ...

    def token_to_id(self, token: str) -> int | None:
        """The id of a token; None when it has none."""
        ...


class Tokens:
    """Cuts texts at ``max_tokens``, the marks of start and end included."""

    def __init__(self, tokenizer: TextTokenizer, max_tokens: int) -> None:
        """Raises ValueError when the tokenizer has no marks."""
        marks = (tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]"))
        if marks[0] is None or marks[1] is None:
            raise ValueError("it has no [CLS] and [SEP]")
        self._start, self._end = marks[0], marks[1]
        self._tokenizer = tokenizer
        self._room = max_tokens - 2

    def ids(self, text: str) -> list[int]:
        """At least the two marks. A lone surrogate counts as a question mark."""
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")
        size = FIRST_CHARACTERS
        # One text at a time: encoding many at once starts a thread per core, outside our bound.
        ids = self._tokenizer.encode(text[:size], add_special_tokens=False).ids
        # A cut may fall into a word and change that word's tokens, but none before it.
        while size < len(text) and len(ids) < self._room + LONGEST_WORD:
            size *= 4
            ids = self._tokenizer.encode(text[:size], add_special_tokens=False).ids
        return [self._start, *ids[: self._room], self._end]
