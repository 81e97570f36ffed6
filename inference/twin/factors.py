"""What a product of two computed tensors multiplies: integers that have codes, times powers of two."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import frexp
from typing import Final

from inference.engines.interface import to_array
from inference.graph import Graph, Node

BITS_MAX: Final = 16
"""Most bits behind the point of a product of codes. With them it takes 255 * 255 + 255 * 2^16 < 2^24 steps to
add the result's zero as well, which is then exact in float32.
"""

Makers = Mapping[str, Node]
"""The node that computes each tensor."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A tensor of the original: for each integer of `source` another, times 2^-bits."""

    source: str
    bits: int = 0
    offset: int | None = None
    """If not None, a hard sigmoid's: it is added, and the sum limited to 0..2^bits."""

    def integer(self, value: int) -> int:
        """What stands for one integer of the source."""
        return value if self.offset is None else min(max(value + self.offset, 0), 1 << self.bits)


def factor_of(graph: Graph, makers: Makers, name: str) -> Factor:
    """The tensor itself, if it is neither a hard sigmoid nor a power of two times another."""
    node = makers.get(name)
    if node is not None and node.operator == "HardSigmoid":
        slope, shift = (node.attributes.get(each) for each in ("alpha", "beta"))
        bits = _bits(slope) if isinstance(slope, float) else None
        if bits is not None and isinstance(shift, float) and (shift * 2**bits).is_integer():
            return Factor(node.inputs[0], bits, int(shift * 2**bits))
    if node is not None and node.operator == "Mul":
        for constant, source in (node.inputs, node.inputs[::-1]):
            tensor = graph.constants.get(constant)
            if tensor is not None and tensor.shape == () and source not in graph.constants:
                bits = _bits(float(to_array(tensor)))
                if bits is not None:
                    return Factor(source, bits)
    return Factor(name)


def _bits(number: float) -> int | None:
    """k, of a number that is 2^-k."""
    mantissa, exponent = frexp(number)
    return 1 - exponent if mantissa == 0.5 and 0 <= 1 - exponent <= BITS_MAX else None
