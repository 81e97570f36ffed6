"""Inputs of a model as people give them: JSON numbers, a row of a set of samples, a picture, or text."""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.errors import UserError
from cli.files import read_bytes
from cli.output import warn
from inference.certificate import ExactnessCertificate
from inference.encoding import Encoded, EncodingError, encode, parse_real
from inference.tensor import TensorError

if TYPE_CHECKING:
    from inference.preparation.card import Card
    from inference.preparation.sets import SampleSet, Taken

JSON_BYTES_MAX: Final = 1024 * 1024
"""Longest input that is read; those that a chain takes are far shorter."""

InputOption = Annotated[
    str | None,
    typer.Option(
        "--input", help="JSON: a list of numbers, or an object of input name to list; or @FILE with it."
    ),
]
SamplesOption = Annotated[
    Path | None,
    typer.Option("--samples", metavar="PATH", help="Take a sample of this .npz, .csv or folder."),
]
RowOption = Annotated[int, typer.Option("--row", help="Which sample of --samples, from 1.", min=1)]
ImageOption = Annotated[
    Path | None, typer.Option("--image", metavar="FILE", help="A picture, encoded as the card says.")
]
TextOption = Annotated[str | None, typer.Option("--text", help="Text, encoded as the card says.")]
CardOption = Annotated[
    Path | None,
    typer.Option(
        "--card",
        metavar="JSON",
        help="How pictures and text become inputs, and what classes are called; "
        "else MODEL.card.json beside the model, if there is one.",
    ),
]


def find_card(given: Path | None, model: Path | None) -> "Card":
    """The card given, or that beside the model, or one that says nothing. Raises UserError."""
    from inference.preparation.card import NO_CARD, card_path, read_card
    from inference.preparation.errors import PreparationError

    beside = None if model is None else card_path(model.expanduser())
    file = beside if given is None and beside is not None and beside.exists() else given
    try:
        return NO_CARD if file is None else read_card(file.expanduser())
    except PreparationError as error:
        raise UserError(str(error), error.advice) from None


def read_samples(place: Path, inputs: "Sequence[Taken]", card: "Card") -> "SampleSet":
    """A set of samples for a model that takes `inputs`; tells of texts that are cut off. Raises UserError."""
    from inference.preparation.errors import PreparationError
    from inference.preparation.sets import read_set

    try:
        found = read_set(place.expanduser(), inputs, card)
    except PreparationError as error:
        raise UserError(str(error), error.advice) from None
    if found.shortened:
        warn(f"{found.shortened} of {len(found.names)} texts are longer than the model takes: cut off")
    return found


def columns_kept(card: "Card", place: Path, inputs: "Sequence[Taken]") -> "Card":
    """The card, with the columns that a table of samples has. Raises UserError."""
    from inference.preparation.errors import PreparationError
    from inference.preparation.sets import remembered

    try:
        return remembered(card, place.expanduser(), inputs)
    except PreparationError as error:
        raise UserError(str(error), error.advice) from None


def read_input(
    certificate: ExactnessCertificate,
    text: str | None,
    samples: Path | None,
    row: int,
    *,
    image: Path | None = None,
    words: str | None = None,
    card: "Card | None" = None,
) -> Encoded:
    """The integers that a model takes, from the one way in which they are given. Raises UserError."""
    if sum(given is not None for given in (text, samples, image, words)) != 1:
        raise typer.BadParameter(
            "give one of --input, --samples, --image and --text",
            param_hint="--input, --samples, --image, --text",
        )
    if text is not None:
        values: Mapping[str, Sequence[Fraction]] = _from_json(certificate, text)
    else:
        values = _prepared(certificate, samples, row, image, words, card)
    try:
        return encode(certificate, values)
    except (EncodingError, TensorError) as error:
        raise UserError(f"the input does not fit the model: {error}", _wanted(certificate)) from None


def tell_limited(limited: tuple[str, ...]) -> None:
    """Values outside the range that the model was made for count as the end of that range."""
    if limited:
        warn(f"outside the model's range, taken as its nearest end: {', '.join(limited[:8])}")


def taken(certificate: ExactnessCertificate) -> "list[Taken]":
    """What an exact model takes, as real numbers."""
    from inference.preparation.sets import Taken

    return [Taken(port.name, "float64", port.shape) for port in certificate.inputs]


def _prepared(
    certificate: ExactnessCertificate,
    samples: Path | None,
    row: int,
    image: Path | None,
    words: str | None,
    card: "Card | None",
) -> dict[str, list[Fraction]]:
    from inference.preparation.card import NO_CARD
    from inference.preparation.errors import PreparationError
    from inference.preparation.sets import ensure_described, read_picture, read_text

    inputs, card = taken(certificate), card or NO_CARD
    try:
        ensure_described(card, inputs)
        if samples is not None:
            found = read_samples(samples, inputs, card).samples
            if row > len(found):
                raise UserError(f"{samples} has {len(found)} samples, not {row}", "choose another --row")
            sample = found[row - 1]
        elif image is not None:
            sample = read_picture(image.expanduser(), inputs, card)
        else:
            assert words is not None
            sample, left_out = read_text(words, inputs, card)
            if left_out:
                warn(f"the text is longer than the model takes: {left_out} tokens at its end are left out")
    except PreparationError as error:
        raise UserError(str(error), error.advice) from None
    # The shortest decimal that means the same float is what a table or a person wrote.
    return {name: [Fraction(repr(float(each))) for each in array.flat] for name, array in sample.items()}


def _from_json(certificate: ExactnessCertificate, text: str) -> dict[str, list[Fraction]]:
    if text.startswith("@"):
        text = read_bytes(Path(text[1:]), JSON_BYTES_MAX).decode(errors="replace")
    try:
        document = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the input is not JSON such as [0.5, 7] ({error})", _wanted(certificate)) from None
    if isinstance(document, list):
        document = {certificate.inputs[0].name: document}
    if not isinstance(document, dict):
        raise UserError("the input is neither a list nor an object", _wanted(certificate))
    return {name: _numbers(certificate, name, part) for name, part in document.items()}


def _numbers(certificate: ExactnessCertificate, name: str, part: Any) -> list[Fraction]:
    """Nested lists are read in row-major order."""
    flat: list[Fraction] = []
    pending = [part]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += reversed(value)
        elif isinstance(value, str):
            try:
                flat.append(parse_real(value))
            except EncodingError as error:
                raise UserError(f"{name[:80]}: {error}", _wanted(certificate)) from None
        else:
            raise UserError(f"{name[:80]}: {json.dumps(value)[:80]} is no number", _wanted(certificate))
    return flat


def _wanted(certificate: ExactnessCertificate) -> str:
    ports = ", ".join(f"{port.name} of shape {list(port.shape)}" for port in certificate.inputs)
    return f"the model takes {ports}"
