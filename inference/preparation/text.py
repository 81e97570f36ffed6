"""Text to the numbers of its tokens."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.preparation.card import Split, TextInput
from inference.preparation.errors import PreparationError

TEXT_CHARACTERS_MAX: Final = 1_000_000
_WORD: Final = re.compile(r"\w+|[^\w\s]")
_WORD_CHARACTERS_MAX: Final = 100
"""A longer word is unknown: cutting it into pieces takes time that grows with its square."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as a model of a certain length takes it."""

    numbers: NDArray[np.int64]
    mask: NDArray[np.int64]
    """1 for each token, 0 for padding."""
    left_out: int
    """How many tokens the text has too many; they are cut off its end."""


def encode_text(text: str, how: TextInput, length: int) -> Tokens:
    """The numbers of the tokens.

    Source of the word pieces, the longest first: Wu et al. (2016), "Google's Neural Machine Translation
    System", section 4.1. Raises PreparationError.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise PreparationError(f"the text has more than {TEXT_CHARACTERS_MAX} characters", "shorten it")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise PreparationError("the text is not UTF-8", "save or type it again as UTF-8") from None
    before: list[int] = []
    after: list[int] = []
    if how.split is Split.BYTES:
        numbers = list(data)
    else:
        known = {token: number for number, token in enumerate(how.vocabulary)}
        numbers = [_number(token, known, how) for token in _tokens(_normal(text, how), how, known)]
        before = [_number(how.start, known, how)] if how.start else []
        after = [_number(how.end, known, how)] if how.end else []
    if not numbers:
        raise PreparationError("the text is empty", "give at least a word")
    room = max(0, length - len(before) - len(after))
    left_out = max(0, len(numbers) - room)
    numbers = [*before, *numbers[:room], *after][:length]
    filled = numbers + [how.padding] * (length - len(numbers))
    mask = [1] * len(numbers) + [0] * (length - len(numbers))
    return Tokens(np.array(filled, dtype=np.int64), np.array(mask, dtype=np.int64), left_out)


def _normal(text: str, how: TextInput) -> str:
    """As the vocabulary spells it: composed characters; without case and accents if so."""
    if not how.lowercase:
        return unicodedata.normalize("NFC", text)
    parts = unicodedata.normalize("NFD", text.lower())
    return "".join(each for each in parts if unicodedata.category(each) != "Mn")


def _tokens(text: str, how: TextInput, known: Mapping[str, int]) -> Iterator[str]:
    if how.split is Split.CHARACTERS:
        yield from text
        return
    for word in _WORD.findall(text):
        if how.split is Split.WORDS:
            yield word
        else:
            yield from _pieces(word, known, how.unknown)


def _pieces(word: str, known: Mapping[str, int], unknown: str) -> list[str]:
    """The longest pieces from the front, or `unknown` alone if some part has none."""
    pieces, at = [], 0
    while at < len(word) <= _WORD_CHARACTERS_MAX:
        head = "##" if at else ""
        end = next((end for end in range(len(word), at, -1) if head + word[at:end] in known), at)
        if end == at:
            return [unknown]
        pieces.append(head + word[at:end])
        at = end
    return pieces or [unknown]


def _number(token: str, known: Mapping[str, int], how: TextInput) -> int:
    number = known.get(token, known.get(how.unknown) if how.unknown else None)
    if number is None:
        raise PreparationError(
            f"the vocabulary has no token {token[:40]!r}",
            "name the unknown token in the card, or change the text",
        )
    return number
