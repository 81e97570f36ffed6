"""The card of a model: how pictures, text and rows become its inputs, and what its classes are called.

A JSON file beside the model, `MODEL.card.json`. It never changes what validators compute: it says what the
sender of a request does before, and the reader of an answer after. For example:

    {"inputs": {"x": {"kind": "image", "colors": "bgr", "mean": [127.5], "deviation": [127.5]}},
     "labels": ["upright", "upside down"]}
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec

from inference.preparation.errors import PreparationError

CARD_BYTES_MAX: Final = 8 * 1024 * 1024
TOKENS_MAX: Final = 500_000
LABELS_MAX: Final = 100_000

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Level = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Levels = Annotated[tuple[Level, ...], msgspec.Meta(min_length=1, max_length=4)]


class Colors(StrEnum):
    """The channels of an image, in order."""

    RGB = "rgb"
    BGR = "bgr"
    GRAY = "gray"


class Fit(StrEnum):
    """How an image of another size becomes one of the model's."""

    STRETCH = "stretch"
    """To the model's height and width."""
    CROP = "crop"
    """Scaled until both fit, then the middle."""
    PAD = "pad"
    """Scaled to fit in, at the top left; the rest is zeros of the model's input."""


class Split(StrEnum):
    """What a token is."""

    BYTES = "bytes"
    """A byte of UTF-8; its number is its value, and no vocabulary is needed."""
    CHARACTERS = "characters"
    WORDS = "words"
    """Runs of letters and digits, or single other characters; spaces separate."""
    WORDPIECE = "wordpiece"
    """Words, each cut into the longest pieces that the vocabulary has; pieces inside a word begin with ##."""


class ImageInput(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="image", forbid_unknown_fields=True
):
    """Each level 0..255 becomes (level - mean) / deviation, per channel or the same for all."""

    colors: Colors = Colors.RGB
    fit: Fit = Fit.STRETCH
    mean: Levels = (0.0,)
    deviation: Levels = (255.0,)


class TextInput(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="text", forbid_unknown_fields=True
):
    """Tokens by their numbers, up to the length that the model takes; padding fills the rest."""

    split: Split
    vocabulary: Annotated[tuple[str, ...], msgspec.Meta(max_length=TOKENS_MAX)] = ()
    """The token of each number. In a file of its own, one token a line, in `vocabulary_file`."""
    vocabulary_file: str = ""
    """Beside the card."""
    lowercase: bool = False
    start: str = ""
    """A token before the text, such as [CLS]; empty for none."""
    end: str = ""
    padding: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    """The number of the token that fills up."""
    unknown: str = ""
    """The token for what the vocabulary lacks; empty: such text is an error."""


class MaskInput(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mask", forbid_unknown_fields=True
):
    """1 where the text input `of` has a token, 0 where it is padded."""

    of: Text


class TableInput(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="table", forbid_unknown_fields=True
):
    """Numbers from the columns of a table, in this order."""

    columns: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=65_536)]


Input = ImageInput | TextInput | MaskInput | TableInput


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a model beside its file."""

    inputs: dict[Text, Input] = {}
    """An input that is not here takes plain numbers."""
    labels: Annotated[tuple[Text, ...], msgspec.Meta(max_length=LABELS_MAX)] = ()
    """What each class is called; empty: its number."""

    def label(self, index: int) -> str:
        """The name of a class, or its number if it has none."""
        return self.labels[index] if index < len(self.labels) else str(index)


NO_CARD: Final = Card()


def card_path(model: Path) -> Path:
    """Where the card of a model is looked for, and put: `digits.onnx` has `digits.card.json`."""
    return model.with_suffix(".card.json")


def read_card(file: Path) -> Card:
    """The card in a file, with the vocabularies that it names. Raises PreparationError."""
    try:
        card = msgspec.json.decode(_read(file), type=Card)
    except msgspec.DecodeError as error:
        raise PreparationError(f"{file}: {error}", "docs/models-guide.md has examples") from None
    inputs = {name: _with_vocabulary(entry, file) for name, entry in card.inputs.items()}
    return msgspec.structs.replace(card, inputs=inputs)


def write_card(card: Card) -> bytes:
    """The JSON of a card that needs no other file."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2)


def _with_vocabulary(entry: Input, card: Path) -> Input:
    if not isinstance(entry, TextInput) or not entry.vocabulary_file:
        return entry
    file = card.parent / entry.vocabulary_file
    try:
        lines = _read(file).decode().splitlines()
    except UnicodeDecodeError:
        raise PreparationError(f"{file} is not UTF-8", "one token a line") from None
    if len(lines) > TOKENS_MAX:
        raise PreparationError(f"{file} has more than {TOKENS_MAX} tokens", "that is more than is taken")
    return msgspec.structs.replace(entry, vocabulary=tuple(lines), vocabulary_file="")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(CARD_BYTES_MAX + 1)
    except OSError as error:
        raise PreparationError(f"cannot read {file}: {error.strerror}", "check the path") from None
    if len(data) > CARD_BYTES_MAX:
        raise PreparationError(f"{file} has more than {CARD_BYTES_MAX} bytes", "that is more than is taken")
    return data
