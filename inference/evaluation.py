"""How good a model is on a data set, exactly: the same integers on every machine.

A data set is a list of rows, each the integers that a model takes and what is right. It is encoded for one
model's types and scales: whoever publishes one says how real numbers became integers.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import prod
from typing import Annotated, Final

import msgspec

from inference.certificate import ExactnessCertificate, ensure_tensors
from inference.encoding import greatest
from inference.graph import PORTS_MAX
from inference.tensor import Tensor, TensorError, integers
from primitives.codec import Codec, CodecError, Record
from primitives.types import U32, U63_MAX

DATASET_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest data set: it is fetched and read whole by every validator."""

ROWS_MAX: Final = 100_000
TARGETS_MAX: Final = 1024
"""Right numbers of one row: more outputs than that are no regression that anybody reads."""

CELLS_MAX: Final = 240
"""Cells of a confusion table that are kept, the fullest first: a result fits into the state."""

LABEL_MAX: Final = 2**32 - 1
SUM_BYTES_MAX: Final = 24
"""Of a sum of squares of 64-bit differences over all rows."""

I63 = Annotated[int, msgspec.Meta(ge=-U63_MAX, le=U63_MAX)]


class Metric(IntEnum):
    """What is measured."""

    CLASSIFICATION = 0
    """Whether the greatest element of the first attested output is the one that is right."""

    REGRESSION = 1
    """How far every element of the first attested output is from the right one, in its integer units."""


class Row(Record, frozen=True):
    """One sample."""

    inputs: Annotated[tuple[Tensor, ...], msgspec.Meta(min_length=1, max_length=PORTS_MAX)]
    """As `inference.certificate.encode_inputs` takes them."""

    targets: Annotated[tuple[I63, ...], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]
    """The class; or the right integer of every element."""


Dataset = Annotated[tuple[Row, ...], msgspec.Meta(min_length=1, max_length=ROWS_MAX)]


class Cell(Record, frozen=True):
    """How many rows of one class were taken for another one, or for their own."""

    label: U32
    predicted: U32
    count: U32


Sum = Annotated[bytes, msgspec.Meta(max_length=SUM_BYTES_MAX)]


class Scores(Record, frozen=True, tag="scores"):
    """What a model is worth on a data set."""

    rows: U32
    correct: U32
    """Rows of which the class, or every element, is right."""

    confusion: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=CELLS_MAX)]
    """Of a classification: the fullest cells, then by label and class."""

    absolute_error: Sum
    """Of a regression: the sum over rows and elements; big-endian, without leading zeros."""

    squared_error: Sum
    """Likewise."""


class Unusable(Record, frozen=True, tag="unusable"):
    """Why the model cannot be measured on the data set; a verdict like any other."""

    row: U32
    """The first that is wrong, counted from 0."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]


Evaluation = Scores | Unusable

_DATASET: Final = Codec[tuple[Row, ...]](Dataset)
_EVALUATION: Final[Codec[Evaluation]] = Codec(Evaluation)


def encode_dataset(rows: Sequence[Row]) -> bytes:
    """The canonical bytes of a data set. Raises CodecError if it has too many rows."""
    return _DATASET.encode(tuple(rows))


def decode_dataset(data: bytes) -> tuple[Row, ...]:
    """Raises CodecError."""
    if len(data) > DATASET_BYTES_MAX:
        raise CodecError(f"a data set has at most {DATASET_BYTES_MAX} bytes")
    return _DATASET.decode(data)


def encode_evaluation(evaluation: Evaluation) -> bytes:
    """The canonical bytes that an `evaluate` job's digest covers."""
    return _EVALUATION.encode(evaluation)


def decode_evaluation(data: bytes) -> Evaluation:
    """Raises CodecError."""
    return _EVALUATION.decode(data)


def read_dataset(
    certificate: ExactnessCertificate, metric: Metric, data: bytes, rows: int
) -> tuple[Row, ...] | Unusable:
    """The rows in `data`, which should be `rows`, or why the model cannot be measured on them."""
    try:
        found = decode_dataset(data)
    except CodecError:
        return Unusable(0, "it is no data set")
    if len(found) != rows:
        return Unusable(min(len(found), rows), f"it has {len(found)} rows, not {rows}")
    port = certificate.outputs[certificate.attested[0]]
    wanted = 1 if metric is Metric.CLASSIFICATION else prod(port.shape)
    for index, row in enumerate(found):
        reason = _trouble(certificate, row, wanted)
        if reason is None and metric is Metric.CLASSIFICATION and not 0 <= row.targets[0] <= LABEL_MAX:
            reason = f"{row.targets[0]} is no class"
        if reason is not None:
            return Unusable(index, reason[:200])
    return found


def score(
    metric: Metric, certificate: ExactnessCertificate, rows: Sequence[Row], runs: Sequence[Sequence[Tensor]]
) -> Scores:
    """What the outputs of `runs`, one for each row, are worth."""
    first = [outputs[certificate.attested[0]] for outputs in runs]
    return _classified(rows, first) if metric is Metric.CLASSIFICATION else _regressed(rows, first)


def _trouble(certificate: ExactnessCertificate, row: Row, wanted: int) -> str | None:
    try:
        ensure_tensors(certificate.inputs, row.inputs)
    except TensorError as error:
        return str(error)
    for port, tensor in zip(certificate.inputs, row.inputs, strict=True):
        if not all(port.low <= value <= port.high for value in integers(tensor)):
            return f"{port.name} is out of its range"
    return None if len(row.targets) == wanted else f"{len(row.targets)} right numbers, not {wanted}"


def _classified(rows: Sequence[Row], outputs: Sequence[Tensor]) -> Scores:
    counts: dict[tuple[int, int], int] = {}
    for row, output in zip(rows, outputs, strict=True):
        pair = row.targets[0], greatest(output)
        counts[pair] = counts.get(pair, 0) + 1
    cells = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CELLS_MAX]
    correct = sum(count for (label, predicted), count in counts.items() if label == predicted)
    confusion = tuple(Cell(label, predicted, count) for (label, predicted), count in cells)
    return Scores(len(rows), correct, confusion, b"", b"")


def _regressed(rows: Sequence[Row], outputs: Sequence[Tensor]) -> Scores:
    absolute = squared = correct = 0
    for row, output in zip(rows, outputs, strict=True):
        errors = [found - right for found, right in zip(integers(output), row.targets, strict=True)]
        absolute += sum(abs(error) for error in errors)
        squared += sum(error * error for error in errors)
        correct += not any(errors)
    return Scores(len(rows), correct, (), _big_endian(absolute), _big_endian(squared))


def _big_endian(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
