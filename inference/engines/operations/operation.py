"""The shape of an operation, and how its attributes are read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from inference.engines.interface import Array
from inference.graph import AttributeValue

Attributes = Mapping[str, AttributeValue]
Operation = Callable[[Sequence[Array], Attributes], Array | tuple[Array, ...]]
"""Computes a node's output, or all of its outputs in order, from its inputs; an input that is left out is
ABSENT.
"""

ABSENT: Final = np.empty(0, np.float32)
"""No tensor of an exact model is without elements."""


def integer_list(attributes: Attributes, name: str) -> list[int]:
    """An attribute that is a list of integers; proofs see to its type."""
    values = attributes[name]
    assert isinstance(values, tuple)
    return [value for value in values if isinstance(value, int)]


def integer(attributes: Attributes, name: str, default: int) -> int:
    """An integer attribute; proofs see to its type."""
    value = attributes.get(name, default)
    assert isinstance(value, int)
    return value
