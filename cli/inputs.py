"""Inputs of a model as people give them: JSON numbers, or a row of a CSV file. Never through a float."""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.errors import UserError
from inference.certificate import ExactnessCertificate
from inference.encoding import Encoded, EncodingError, encode, parse_real
from inference.samples import SAMPLES_BYTES_MAX, Samples, SamplesError, read_samples
from inference.tensor import TensorError

JSON_BYTES_MAX: Final = 1024 * 1024
"""Longest input that is read; those that a chain takes are far shorter."""

InputOption = Annotated[
    str | None,
    typer.Option(
        "--input", help="JSON: a list of numbers, or an object of input name to list; or @FILE with it."
    ),
]
SamplesOption = Annotated[
    Path | None, typer.Option("--samples", metavar="CSV", help="Take a row of this file.")
]
RowOption = Annotated[int, typer.Option("--row", help="Which row of --samples, from 1.", min=1)]


def read_bytes(file: Path, bytes_max: int) -> bytes:
    """The content of a file of at most `bytes_max`. Raises UserError."""
    try:
        with file.expanduser().open("rb") as opened:
            data = opened.read(bytes_max + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", "check the path") from None
    if len(data) > bytes_max:
        raise UserError(f"{file} has more than {bytes_max} bytes", "that is more than is taken")
    return data


def read_csv(file: Path) -> Samples:
    """The rows of a CSV file. Raises UserError that names the line."""
    try:
        return read_samples(read_bytes(file, SAMPLES_BYTES_MAX).decode())
    except (SamplesError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: {error}", "give a CSV file whose first line names the columns") from None


def read_input(
    certificate: ExactnessCertificate, text: str | None, samples: Path | None, row: int
) -> Encoded:
    """The integers that a model takes, from --input or --samples and --row. Raises UserError."""
    if (text is None) == (samples is None):
        raise typer.BadParameter("give one of --input and --samples", param_hint="--input, --samples")
    if samples is not None:
        rows = read_csv(samples).rows
        if row > len(rows):
            raise UserError(f"{samples} has {len(rows)} rows, not {row}", "choose another --row")
        values: Mapping[str, Sequence[Fraction]] = {certificate.inputs[0].name: rows[row - 1]}
    else:
        assert text is not None
        values = _from_json(certificate, text)
    try:
        return encode(certificate, values)
    except (EncodingError, TensorError) as error:
        raise UserError(f"the input does not fit the model: {error}", _wanted(certificate)) from None


def _from_json(certificate: ExactnessCertificate, text: str) -> dict[str, list[Fraction]]:
    if text.startswith("@"):
        text = read_bytes(Path(text[1:]), JSON_BYTES_MAX).decode(errors="replace")
    try:
        document = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the input is not JSON ({error})", _wanted(certificate)) from None
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
