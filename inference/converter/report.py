"""What a conversion gives: the exact model, its certificate, and what exactness cost."""

from dataclasses import dataclass

from inference.certificate import ExactnessCertificate
from inference.converter.options import Method


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What became of one step, over the held-out samples."""

    name: str
    """The tensor of the float model that holds its result."""
    kind: str
    bits: int
    """Bits of the integers that stand for its result."""
    weight_bits: int | None
    """Bits of the weights, for the output in the middle of all; None for a step without weights."""
    relative_error: float
    """Root mean square of the difference to the float model's result, by that of the result."""
    limited: float
    """Share of the results that the float model has beyond the integers' range."""


@dataclass(frozen=True, slots=True)
class OutputReport:
    """How far the exact model says the same as the float model, over the held-out samples."""

    name: str
    matched: int
    """Positions (one per sample, or per element of a sequence or mask) with the same greatest score."""
    total: int
    sure_matched: int
    """Those of them where the float model's own score is at least one half."""
    sure_total: int
    relative_error: float
    """Root mean square of the difference of the scores, by that of the float scores."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A method of calibration, tried on a part of the samples and measured on the others."""

    method: Method
    matched: int
    """Positions, of all outputs, with the same greatest score as the float model's."""
    total: int
    relative_error: float
    """Of the output that is worst off."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a conversion cost."""

    method: Method
    """How the samples decided which ranges integers cover."""

    layers: tuple[LayerReport, ...]
    outputs: tuple[OutputReport, ...]
    matched: int
    """Held-out samples for which every output has the same greatest scores as the float model's."""
    total: int
    differing: tuple[int, ...]
    """Indices of the samples for which it has not."""
    limited_samples: int
    """Held-out samples with an input outside the range that was seen in calibration."""
    unprotected: tuple[str, ...]
    """Protections that this platform lacks and the process that read the float model did without."""
    tried: tuple[Trial, ...] = ()
    """From what the method was chosen, if it was."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """An exact model, its certificate and what it cost."""

    model: bytes
    certificate: ExactnessCertificate
    report: Report
