"""What a caller may ask of a conversion, and how the caller hears of its progress."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sample = Mapping[str, "NDArray[Any]"]
"""For each input of the model, by its name, an array of its shape: one row, image or text (batch 1)."""

Samples = Sequence[Sample]

Watch = Callable[[str, int, int], None]
"""Hears the phase, and how much of it is done, of how much."""

WEIGHT_BITS: Final = range(3, 17)
"""Bits that a caller may give to the weights."""


class Method(StrEnum):
    """How the samples decide which range of reals the integers of a tensor cover."""

    MINMAX = "minmax"
    """All that was seen, and a little more."""
    PERCENTILE = "percentile"
    """All but the outermost few in ten thousand."""
    ERROR = "error"
    """The range with the least mean square error: of what is cut off and of what is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The knobs of a conversion."""

    method: Method | None = None
    """None: `MINMAX`; for bytes, whichever agrees best with the float model on samples kept apart."""
    weight_bits: int | None = None
    """Bits of the weights in every layer; each tensor takes what that leaves of 24. None: for each layer,
    what makes the least error."""
    int8: bool = False
    """Whether activations are bytes and weights have seven bits, so that the exact model has an int8 twin.
    Not together with `weight_bits`."""
    target_agreement: Fraction | None = None
    """Least share of the held-out samples whose class must be that of the float model: other settings are
    tried, in a fixed order, until one meets it."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Sizes for inputs whose dimensions the file leaves open; what is still open is 1."""


def unwatched(phase: str, done: int, total: int) -> None:
    """Tells nobody."""
