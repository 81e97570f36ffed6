"""How good a model is on a data set, exactly: the same integers on every machine.

A data set is a list of rows, each the integers that a model takes and what is right. It is encoded for one
model's types and scales: whoever publishes one says how real numbers became integers.

What is measured is the first attested output. Results are counts and sums: shares, means and R^2 are ratios
of them, which whoever reads them forms as exactly as he likes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from typing import Annotated, Final

import msgspec

from inference.certificate import ExactnessCertificate, PortSpec, ensure_tensors
from inference.encoding import greatest, positive
from inference.graph import PORTS_MAX
from inference.tensor import Tensor, TensorError, ensure_sound, integers
from primitives.codec import Codec, CodecError, Record
from primitives.types import U32, U63

DATASET_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest data set: it is fetched and read whole by every validator."""

ROWS_MAX: Final = 100_000
CELLS_MAX: Final = 240
"""Cells of a confusion table, or classes, that are kept, the fullest first: a result fits into the state."""

LABEL_MAX: Final = 2**32 - 1
SUM_BYTES_MAX: Final = 24
"""Of a sum of squares of 64-bit numbers over all rows, times how many there are."""

IGNORED: Final = -1
"""What is right at a place that does not count, such as the border of a mask or the padding of a sequence."""

GAS_PER_TENSOR: Final = 350_000
"""Of every tensor of every row: inputs, outputs and what is right are checked by themselves. All constants
besides the runs are fitted by `benchmarks.gas`; docs/gas.md has the table."""

GAS_PER_NUMBER: Final = 3_000
"""Of every element of every input and output: each is looked at, in Python."""

GAS_PER_RIGHT_NUMBER: Final = 25_000
"""Of every class or number that is right: it is counted."""

GAS_PER_DATASET_BYTE: Final = 1_500
"""Of a data set, to read it, besides what it costs to send it."""


class Metric(IntEnum):
    """What is measured."""

    CLASSIFICATION = 0
    """Whether the greatest element of the output is the class that is right."""

    REGRESSION = 1
    """How far every element of the output is from the right one, in its integer units."""

    MASKS = 2
    """Whether every place gets the class that is right, and how far classes overlap. Of an output
    [1, classes, height, width] the greatest class of a place; of any other, whether it is positive."""

    SEQUENCES = 3
    """Likewise, for an output whose last dimension has the classes: every other place is a step."""


class Row(Record, frozen=True):
    """One sample."""

    inputs: Annotated[tuple[Tensor, ...], msgspec.Meta(min_length=1, max_length=PORTS_MAX)]
    """As `inference.certificate.encode_inputs` takes them."""

    target: Tensor
    """Integers of any type and shape: the class; the right integer of every element; the class of every
    place, or IGNORED."""


Dataset = Annotated[tuple[Row, ...], msgspec.Meta(min_length=1, max_length=ROWS_MAX)]
RowCount = Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)]
Sum = Annotated[bytes, msgspec.Meta(max_length=SUM_BYTES_MAX)]
"""Big-endian, without leading zeros."""


class Cell(Record, frozen=True):
    """How many rows of one class were taken for another one, or for their own."""

    label: U32
    predicted: U32
    count: U32


class Overlap(Record, frozen=True):
    """Places of one class; intersection over union is what they are called for."""

    label: U32
    intersection: U32
    """Places that are of the class, and were taken for it."""

    union: U32
    """Places of which either is true."""


class Classified(Record, frozen=True, tag="classified"):
    """What a classifier is worth."""

    rows: U32
    correct: U32
    confusion: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=CELLS_MAX)]
    """The fullest cells, then by label and class."""


class Regressed(Record, frozen=True, tag="regressed"):
    """What a regression is worth. R^2 is 1 - elements * squared_error / spread."""

    rows: U32
    correct: U32
    """Rows of which every element is right."""

    elements: U63
    """Of all rows."""

    absolute_error: Sum
    """Sum over all elements."""

    squared_error: Sum
    """Likewise."""

    spread: Sum
    """elements * (sum of squares of what is right) - (sum of what is right)^2: `elements` squared times the
    variance of what is right; nought if that is always the same."""


class Matched(Record, frozen=True, tag="matched"):
    """What a model is worth that says something of many places at once."""

    rows: U32
    correct: U32
    """Rows of which every place that counts is right."""

    places: U63
    """That count, in all rows."""

    correct_places: U63
    classes: Annotated[tuple[Overlap, ...], msgspec.Meta(max_length=CELLS_MAX)]
    """Those with the largest unions, then by label."""


class Unusable(Record, frozen=True, tag="unusable"):
    """Why the model cannot be measured on the data set; a verdict like any other."""

    row: U32
    """The first that is wrong, counted from 0."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]


Evaluation = Classified | Regressed | Matched | Unusable

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


def evaluation_gas(certificate: ExactnessCertificate, metric: Metric, rows: int, size_bytes: int) -> int:
    """The work of measuring a model on a data set of so many rows and bytes."""
    tensors, numbers, right = looked_at(certificate, metric)
    looking = GAS_PER_TENSOR * tensors + GAS_PER_NUMBER * numbers + GAS_PER_RIGHT_NUMBER * right
    return rows * (certificate.gas + looking) + GAS_PER_DATASET_BYTE * size_bytes


def looked_at(certificate: ExactnessCertificate, metric: Metric) -> tuple[int, int, int]:
    """For each row: its tensors; the numbers in its inputs and outputs; those that are right."""
    ports = (*certificate.inputs, *certificate.outputs)
    form = form_of(metric, measured(certificate))
    return len(ports) + 1, sum(prod(port.shape) for port in ports), 0 if form is None else form.count


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
    form = form_of(metric, measured(certificate))
    if form is None:
        return Unusable(0, "the last dimension of the output has no classes to choose from")
    for index, row in enumerate(found):
        reason = _trouble(certificate, row, form)
        if reason is not None:
            return Unusable(index, reason[:200])
    return found


def evaluate(
    certificate: ExactnessCertificate,
    metric: Metric,
    rows: Sequence[Row],
    run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]],
) -> Evaluation:
    """What the model is worth on rows that `read_dataset` has passed.

    `run` gives the outputs for a row, those of one at a time, and may raise.
    """
    scoring = _Scoring(metric, certificate)
    for row in rows:
        scoring.add(row, run(row.inputs))
    return scoring.result()


def measured(certificate: ExactnessCertificate) -> PortSpec:
    """The output that is measured."""
    return certificate.outputs[certificate.attested[0]]


@dataclass(frozen=True, slots=True)
class Form:
    """What is right of one row."""

    count: int
    """How many integers."""

    least: int | None = None
    """None: any integer."""

    most: int = 0
    is_channels_first: bool = False
    """Whether the classes of all places stand together, and not all classes of a place."""


def form_of(metric: Metric, port: PortSpec) -> Form | None:
    """What is right of one row, for that output; None if there is nothing to measure."""
    shape, elements = port.shape, prod(port.shape)
    match metric:
        case Metric.CLASSIFICATION:
            return Form(1, 0, LABEL_MAX)
        case Metric.REGRESSION:
            return Form(elements)
        case Metric.MASKS if len(shape) == 4 and shape[1] > 1:
            return Form(elements // shape[1], IGNORED, shape[1] - 1, is_channels_first=True)
        case Metric.MASKS:
            return Form(elements, IGNORED, 1)
        case Metric.SEQUENCES if shape and shape[-1] > 1:
            return Form(elements // shape[-1], IGNORED, shape[-1] - 1)
        case Metric.SEQUENCES:
            return None


def _trouble(certificate: ExactnessCertificate, row: Row, form: Form) -> str | None:
    try:
        ensure_tensors(certificate.inputs, row.inputs)
        for port, tensor in zip(certificate.inputs, row.inputs, strict=True):
            values = integers(tensor)
            if min(values) < port.low or max(values) > port.high:
                return f"{port.name} is out of its range"
        ensure_sound(row.target)
        count = prod(row.target.shape)
        if count != form.count:
            return f"{count} right numbers, not {form.count}"
        target = integers(row.target)
    except TensorError as error:
        return str(error)
    if form.least is not None and not (form.least <= min(target) and max(target) <= form.most):
        return f"{next(one for one in target if not form.least <= one <= form.most)} is no class"
    return None


@dataclass(slots=True)
class _Scoring:
    """Counts row after row."""

    metric: Metric
    certificate: ExactnessCertificate
    _rows: int = 0
    _correct: int = 0
    _count: int = 0
    """Elements, or places that count."""

    _sums: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Of absolute errors and squared errors, of what is right and of its squares."""

    _pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    _hits: Counter[int] = field(default_factory=Counter)
    _members: Counter[int] = field(default_factory=Counter)
    """By class, the places that are of it, and those that were taken for it."""

    def add(self, row: Row, outputs: Sequence[Tensor]) -> None:
        """Count one more row and what the model gave for it."""
        output, target = outputs[self.certificate.attested[0]], integers(row.target)
        self._rows += 1
        match self.metric:
            case Metric.CLASSIFICATION:
                self._classify(target[0], greatest(output))
            case Metric.REGRESSION:
                self._regress(target, integers(output))
            case Metric.MASKS | Metric.SEQUENCES:
                self._match(target, self._classes(output))

    def result(self) -> Evaluation:
        """What the rows so far are worth."""
        if self.metric is Metric.CLASSIFICATION:
            cells = sorted(self._pairs.items(), key=lambda item: (-item[1], item[0]))[:CELLS_MAX]
            confusion = tuple(Cell(label, predicted, count) for (label, predicted), count in cells)
            return Classified(self._rows, self._correct, confusion)
        if self.metric is Metric.REGRESSION:
            absolute, squared, total, squares = self._sums
            spread = self._count * squares - total * total
            sums = [_big_endian(value) for value in (absolute, squared, spread)]
            return Regressed(self._rows, self._correct, self._count, *sums)
        overlaps = [
            Overlap(label, self._hits[label], members - self._hits[label])
            for label, members in self._members.items()
        ]
        largest = sorted(overlaps, key=lambda one: (-one.union, one.label))[:CELLS_MAX]
        return Matched(self._rows, self._correct, self._count, self._hits.total(), tuple(largest))

    def _classify(self, label: int, predicted: int) -> None:
        self._pairs[label, predicted] += 1
        self._correct += label == predicted

    def _regress(self, right: Sequence[int], found: Sequence[int]) -> None:
        errors = [one - other for one, other in zip(found, right, strict=True)]
        added = (
            sum(map(abs, errors)),
            sum(error * error for error in errors),
            sum(right),
            sum(one * one for one in right),
        )
        self._sums = [before + more for before, more in zip(self._sums, added, strict=True)]
        self._count += len(errors)
        self._correct += not any(errors)

    def _match(self, right: Sequence[int], found: Sequence[int]) -> None:
        pairs = [pair for pair in zip(right, found, strict=True) if pair[0] != IGNORED]
        hits = Counter(label for label, predicted in pairs if label == predicted)
        self._hits += hits
        self._members.update(label for label, _ in pairs)
        self._members.update(predicted for _, predicted in pairs)
        self._count += len(pairs)
        self._correct += hits.total() == len(pairs)

    def _classes(self, output: Tensor) -> list[int]:
        """The class of every place; of equals the lowest."""
        port = measured(self.certificate)
        form = form_of(self.metric, port)
        assert form is not None
        codes = integers(output)
        if form.count == len(codes):
            return positive(port, codes)
        classes = len(codes) // form.count
        if form.is_channels_first:
            places = (codes[at :: form.count] for at in range(form.count))
        else:
            places = (codes[at : at + classes] for at in range(0, len(codes), classes))
        return [place.index(max(place)) for place in places]


def _big_endian(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
