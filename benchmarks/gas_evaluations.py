"""Data sets to be measured on: ordinary ones, and such as an attacker would order.

Each comes with outputs that a model could have given, so that what is measured is all of an evaluation but
the runs: reading, checking and counting.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from math import prod
from random import Random
from typing import Final

from msgspec.structs import replace

from benchmarks.gas_models import MODELS
from inference.certificate import ExactnessCertificate, PortSpec, Scale
from inference.evaluation import (
    IGNORED,
    Evaluation,
    Metric,
    Row,
    Unusable,
    encode_dataset,
    evaluate,
    form_of,
    measured,
    read_dataset,
)
from inference.prover import prove
from inference.sessions import Session
from inference.tensor import INTEGER_RANGES, Tensor, from_integers

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A data set, and the model that is measured on it."""

    metric: Metric
    certificate: ExactnessCertificate
    data: bytes
    rows: int
    """As registered."""

    outputs: tuple[Tensor, ...]

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """As inference.engines.interface.LoadedModel: at once."""
        return self.outputs

    def evaluate(self) -> Evaluation:
        """All of it, as a worker does."""
        rows = read_dataset(self.certificate, self.metric, self.data, self.rows)
        if isinstance(rows, Unusable):
            return rows
        return evaluate(self.certificate, self.metric, rows, Session(self.certificate, self).run)


def port(dtype: str, *shape: int, channels: int = 1) -> PortSpec:
    """With a zero point for each of so many channels."""
    low, high = (max(-(2**62), min(2**62, end)) for end in INTEGER_RANGES[dtype])
    return PortSpec("x", dtype, shape, low, high, (Scale(1, 1),), tuple(range(channels)))


def case(
    metric: Metric,
    rows: int,
    inputs: Sequence[PortSpec],
    outputs: Sequence[PortSpec],
    dtype: str = "int64",
    right: Callable[[Random], int] | None = None,
) -> Evaluated:
    """So many rows of numbers of all sizes; `right` gives each number that is right, if not any that fits."""
    random = Random(1)
    certificate = replace(_KNOWN, inputs=tuple(inputs), outputs=tuple(outputs), attested=(0,))
    form = form_of(metric, measured(certificate))
    assert form is not None
    low, high = INTEGER_RANGES[dtype]
    if form.least is not None:
        low, high = max(low, form.least), min(high, form.most)
    fitting = right or (lambda random: random.randint(low, high))
    given = tuple(_tensor(each, random) for each in inputs)
    targets = [
        from_integers(dtype, (form.count,), [fitting(random) for _ in range(form.count)]) for _ in range(rows)
    ]
    data = encode_dataset([Row(given, target) for target in targets])
    return Evaluated(metric, certificate, data, rows, tuple(_tensor(each, random) for each in outputs))


def _tensor(port: PortSpec, random: Random) -> Tensor:
    some = [random.randint(port.low, port.high) for _ in range(min(257, prod(port.shape)))]
    return from_integers(port.dtype, port.shape, list(islice(cycle(some), prod(port.shape))))


def otherwise(case: Evaluated, rows: int) -> Evaluated:
    """The same, registered with another number of rows: it is read, and nothing is run."""
    return dataclasses.replace(case, rows=rows)


CLASS: Final = port("int64", 1)
BYTE: Final = (port("int8", 1),)
FEATURES: Final = (port("int8", 1, 30),)

CASES: Final[Mapping[str, Callable[[], Evaluated]]] = {
    "classes, 2 of 30 bytes": lambda: case(
        Metric.CLASSIFICATION, 2_000, FEATURES, (port("int32", 1, 2), CLASS)
    ),
    "classes, 2 of a byte": lambda: case(Metric.CLASSIFICATION, 5_000, BYTE, (port("int8", 1, 2),), "uint8"),
    "classes, 10 of an image": lambda: case(
        Metric.CLASSIFICATION, 100, (port("uint8", 1, 3, 64, 64),), (port("int32", 1, 10),)
    ),
    "classes, 1,000 of an image": lambda: case(
        Metric.CLASSIFICATION, 100, (port("uint8", 1, 3, 64, 64),), (port("int32", 1, 1_000),)
    ),
    "classes, 100,000 of a byte": lambda: case(Metric.CLASSIFICATION, 10, BYTE, (port("int32", 1, 100_000),)),
    "classes, never the same": lambda: case(
        Metric.CLASSIFICATION,
        20_000,
        BYTE,
        (port("int8", 1, 2),),
        "int64",
        lambda random: random.randint(0, 2**32 - 1),
    ),
    "classes, 64 inputs": lambda: case(Metric.CLASSIFICATION, 300, BYTE * 64, (port("int32", 1, 2),)),
    "classes, 64 outputs": lambda: case(Metric.CLASSIFICATION, 300, BYTE, (port("int32", 1, 2),) * 64),
    "classes, of one, 64 numbers in and 64 out": lambda: case(
        Metric.CLASSIFICATION, 300, BYTE * 64, (port("int8", 1),) * 64
    ),
    "masks, 65,536 classes of a place": lambda: case(
        Metric.MASKS, 2, BYTE, (port("int32", 1, 65_536, 1, 1),), "int32"
    ),
    "classes, an input of a megabyte": lambda: case(
        Metric.CLASSIFICATION, 4, (port("int8", 1, 2**20),), (port("int32", 1, 2),)
    ),
    "classes, an input of 131,072 int64": lambda: case(
        Metric.CLASSIFICATION, 4, (port("int64", 1, 2**17),), (port("int32", 1, 2),)
    ),
    "regression, a number": lambda: case(Metric.REGRESSION, 3_000, FEATURES, (port("int32", 1, 1),)),
    "regression, 10,000 numbers": lambda: case(
        Metric.REGRESSION, 20, FEATURES, (port("int32", 1, 10_000),), "int32"
    ),
    "regression, 10,000 numbers of 64 bits": lambda: case(
        Metric.REGRESSION, 20, BYTE, (port("int64", 1, 10_000),)
    ),
    "regression, 100,000 bytes": lambda: case(
        Metric.REGRESSION, 3, BYTE, (port("int8", 1, 100_000),), "int8"
    ),
    "mask, 64x64": lambda: case(
        Metric.MASKS, 40, (port("uint8", 1, 1, 64, 64),), (port("int32", 1, 1, 64, 64),), "int8"
    ),
    "mask, 512x512": lambda: case(Metric.MASKS, 1, BYTE, (port("int8", 1, 1, 512, 512),), "int8"),
    "mask, a zero point for each channel": lambda: case(
        Metric.MASKS, 2, BYTE, (port("int8", 1, 1, 512, 64, channels=64),), "int8"
    ),
    "masks, 2 classes of 64x64": lambda: case(
        Metric.MASKS, 40, (port("uint8", 1, 3, 64, 64),), (port("int32", 1, 2, 64, 64),), "int8"
    ),
    "masks, 2 classes of 256x256": lambda: case(
        Metric.MASKS, 2, BYTE, (port("int8", 1, 2, 256, 256),), "int8"
    ),
    "masks, 21 classes of 64x64": lambda: case(
        Metric.MASKS, 10, (port("uint8", 1, 3, 64, 64),), (port("int32", 1, 21, 64, 64),), "int8"
    ),
    "masks, 16,384 classes of 4 places": lambda: case(
        Metric.MASKS, 5, BYTE, (port("int32", 1, 16_384, 2, 2),), "int16"
    ),
    "masks, nothing counts": lambda: case(
        Metric.MASKS, 2, BYTE, (port("int8", 1, 2, 256, 256),), "int8", lambda random: IGNORED
    ),
    "sequences, 64 steps of 100": lambda: case(
        Metric.SEQUENCES, 40, (port("int32", 1, 64),), (port("int32", 1, 64, 100),), "int8"
    ),
    "sequences, 50,000 steps of 2": lambda: case(
        Metric.SEQUENCES, 4, BYTE, (port("int8", 1, 50_000, 2),), "int8"
    ),
    "sequences, a step of 2": lambda: case(Metric.SEQUENCES, 5_000, BYTE, (port("int8", 1, 1, 2),), "int8"),
    "sequences, 300 steps of 300, never the same": lambda: case(
        Metric.SEQUENCES, 4, BYTE, (port("int32", 1, 300, 300),), "int16"
    ),
    "rows that are too many": lambda: otherwise(CASES["classes, 2 of a byte"](), 1),
    "inputs that are too many": lambda: otherwise(CASES["classes, 64 inputs"](), 1),
}
"""The last ones are read in vain."""

_KNOWN: Final = prove(MODELS["dense 30-16-2"]().model).certificate
