"""Real numbers to the integers that a model takes, and back, as its certificate declares.

Exact and the same everywhere: decimal text becomes a fraction, never a float. An integer is the nearest to
number / scale, halves to even, plus the zero point; what lies outside the model's range becomes its nearest
end, which is what the model itself would do with it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Final

from inference.certificate import ExactnessCertificate, PortSpec, Scale, ensure_tensors
from inference.tensor import Tensor, from_integers, integers

NUMBER_CHARACTERS_MAX: Final = 64
EXPONENT_MAX: Final = 400
"""Beyond the range of float64, and small enough that no text makes a number of a million digits."""

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,4}))?", re.ASCII)


class EncodingError(ValueError):
    """The values are not numbers, or not as many as the model takes."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Inputs ready to run."""

    tensors: tuple[Tensor, ...]
    limited: tuple[str, ...]
    """Which values lay outside the model's range, as `input[channel]`, to be told to whoever sent them."""


def parse_real(text: str) -> Fraction:
    """The exact value of a decimal number such as `-12.5e-3`. Raises EncodingError."""
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= NUMBER_CHARACTERS_MAX else None
    if match is None or abs(int(match[1] or 0)) > EXPONENT_MAX:
        raise EncodingError(f"{text[:NUMBER_CHARACTERS_MAX]!r} is not a decimal number")
    return Fraction(text.strip())


def encode(certificate: ExactnessCertificate, values: Mapping[str, Sequence[Fraction]]) -> Encoded:
    """The model's inputs from real numbers, each in row-major order. Raises EncodingError."""
    if set(values) != {port.name for port in certificate.inputs}:
        wanted = ", ".join(port.name for port in certificate.inputs)
        raise EncodingError(
            f"the model takes the inputs {wanted}, not {', '.join(sorted(values)) or 'none'}"[:300]
        )
    tensors, limited = [], []
    for port in certificate.inputs:
        numbers = values[port.name]
        if len(numbers) != prod(port.shape):
            raise EncodingError(f"{port.name} takes {prod(port.shape)} numbers, not {len(numbers)}")
        codes = []
        for index, code in enumerate(nearest(port, numbers)):
            codes.append(min(max(code, port.low), port.high))
            if code != codes[-1]:
                limited.append(f"{port.name}[{index}]")
        tensors.append(from_integers(port.dtype, port.shape, codes))
    return Encoded(tuple(tensors), tuple(limited))


def nearest(port: PortSpec, numbers: Sequence[Fraction]) -> list[int]:
    """The integers nearest to real numbers, halves to even; also those outside the range of the port."""
    codes = []
    for index, number in enumerate(numbers):
        scale, zero_point = _channel(port, index)
        codes.append(round(number * scale.denominator / scale.numerator) + zero_point)
    return codes


def positive(port: PortSpec, codes: Sequence[int]) -> list[int]:
    """For every integer 1 if the real number that it stands for is above nought, else 0."""
    if len(port.zero_points) == 1:
        [zero_point] = port.zero_points
        return [int(code > zero_point) for code in codes]
    return [int(code > _channel(port, index)[1]) for index, code in enumerate(codes)]


def decode(ports: Sequence[PortSpec], tensors: Sequence[Tensor]) -> dict[str, tuple[Fraction, ...]]:
    """The real numbers that outputs or inputs stand for, by name, in row-major order. Raises TensorError."""
    ensure_tensors(ports, tensors)
    decoded = {}
    for port, tensor in zip(ports, tensors, strict=True):
        numbers = []
        for index, code in enumerate(integers(tensor)):
            scale, zero_point = _channel(port, index)
            numbers.append(Fraction((code - zero_point) * scale.numerator, scale.denominator))
        decoded[port.name] = tuple(numbers)
    return decoded


def greatest(tensor: Tensor) -> int:
    """The index of the greatest element, the lowest in a tie: the class that attested scores stand for."""
    codes = integers(tensor)
    return codes.index(max(codes))


def _channel(port: PortSpec, index: int) -> tuple[Scale, int]:
    """Scale and zero point of the element at `index`."""
    channel = index % port.shape[-1] if port.shape else 0
    scale = port.scales[channel if len(port.scales) > 1 else 0]
    return scale, port.zero_points[channel if len(port.zero_points) > 1 else 0]
