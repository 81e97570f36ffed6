"""The float model run over samples: which reals each tensor takes.

One sample at a time, in order, on one thread; only sums and extremes are kept, and numbers that leave this
module are rounded to few bits, so that a difference in the last place of a float disappears.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.converter.options import Method, Sample, Samples, Watch
from inference.converter.plan import Spread
from inference.converter.program import Integers, Program, Reals, Source
from inference.engines.interface import InferenceEngine, LoadedModel, from_array, to_array
from inference.refusal import refuse

Array = NDArray[Any]

BITS: Final = 16
"""Significant bits of what is measured."""

SAMPLES_MAX: Final = 4096
"""Most samples of a calibration or a comparison: more change nothing but the time."""

BINS: Final = 512
"""Bins of a histogram, of equal width between the least and the greatest value of a channel."""

BINS_MAX: Final = 2**25
"""Most bins in all, 200 MB: a model with more channels gets fewer for each."""

_SHARE: Final = 1e-4
"""Share of the values that may be cut off at each end."""

_ERROR_BITS: Final = 8
"""Bits for which the range with the least error is sought."""


class Floats:
    """The float model after folding, opened so that it gives chosen tensors."""

    def __init__(self, program: Program, names: Sequence[str], engine: InferenceEngine) -> None:
        self._program = program
        inputs = {source.name for source in program.sources}
        self._names = [name for name in names if name not in inputs]
        self._model: LoadedModel = engine.load(with_outputs(program.folded, self._names))

    def run(self, sample: Sample) -> dict[str, Array]:
        """The chosen tensors, and the inputs. Raises EngineError."""
        arrays = {source.name: sample[source.name] for source in self._program.sources}
        outputs = self._model.run([from_array(array) for array in arrays.values()])
        return arrays | {name: to_array(each) for name, each in zip(self._names, outputs, strict=True)}


def with_outputs(folded: bytes, names: Sequence[str]) -> bytes:
    """The file with those tensors as its only outputs."""
    model = onnx.load_model_from_string(folded)
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    file: bytes = model.SerializeToString(deterministic=True)
    return file


def checked(program: Program, samples: Samples) -> list[dict[str, Array]]:
    """The samples, once each has every input in its shape and type. Raises Refused."""
    if not samples:
        refuse("there are no samples", "samples")
    if len(samples) > SAMPLES_MAX:
        refuse(f"{len(samples)} samples are more than {SAMPLES_MAX}: give fewer", "samples")
    return [
        {source.name: _input(source, sample, index) for source in program.sources}
        for index, sample in enumerate(samples)
    ]


def _input(source: Source, sample: Sample, index: int) -> Array:
    if source.name not in sample:
        refuse(f"sample {index} has no input {source.name!r}, only {', '.join(sorted(sample))}", "samples")
    array = np.asarray(sample[source.name])
    if array.shape != source.shape:
        refuse(f"sample {index} is {list(array.shape)}, the model takes {list(source.shape)}", source.name)
    if not np.isfinite(array).all():
        refuse(f"sample {index} has a value that is infinite or not a number", source.name)
    if source.dtype.startswith("float"):
        return array.astype(source.dtype)
    whole = array.astype(source.dtype)
    if not np.array_equal(whole, array):
        refuse(f"sample {index} has a value that is no {source.dtype}", source.name)
    return whole


@dataclass(frozen=True, slots=True)
class View:
    """Where a tensor is found among those of the float model: tensor * scale + offset."""

    tensor: str
    axis: int
    """The dimension of its channels."""
    scale: Reals | None = None
    offset: Reals | None = None

    def of(self, arrays: Mapping[str, Array]) -> Array:
        array = arrays[self.tensor]
        if self.scale is None or self.offset is None:
            return array
        moved: Array = array * self.scale + self.offset
        return moved


class _Meter:
    """Extremes and moments of one tensor along one dimension."""

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.count = 0
        self.low = self.high = self.total = self.squares = np.zeros(0)

    def add(self, array: Array) -> None:
        rows = by_channel(array, self.axis)
        low, high = rows.min(axis=1), rows.max(axis=1)
        total, squares = rows.sum(axis=1), np.square(rows).sum(axis=1)
        if self.count:
            low, high = np.minimum(low, self.low), np.maximum(high, self.high)
            total, squares = total + self.total, squares + self.squares
        self.low, self.high, self.total, self.squares = low, high, total, squares
        self.count += rows.shape[1]

    def spread(self) -> Spread:
        return Spread(
            axis=self.axis,
            low=short(self.low),
            high=short(self.high),
            mean=short(self.total / self.count),
            square=short(self.squares / self.count),
        )


def by_channel(array: Array, axis: int) -> Reals:
    """float64[channels, elements of each]"""
    if not array.ndim:
        return array.astype(np.float64).reshape(1, 1)
    rows: Reals = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64)
    return rows


def short(values: Reals) -> Reals:
    """The numbers with few significant bits."""
    mantissas, exponents = np.frexp(values)
    rounded: Reals = np.ldexp(np.rint(np.ldexp(mantissas, BITS)), exponents - BITS)
    return rounded


def calibrate(
    floats: Floats,
    views: Mapping[str, View],
    samples: Sequence[Sample],
    method: Method,
    watch: Watch,
) -> dict[str, Spread]:
    """What each tensor was seen to be, by the name of its view.

    Raises EngineError, or Refused for a model that overflows.
    """
    meters = {name: _Meter(view.axis) for name, view in views.items()}
    for index, sample in enumerate(samples):
        watch("calibrating", index, len(samples))
        arrays = floats.run(sample)
        for name, meter in meters.items():
            meter.add(views[name].of(arrays))
            if not np.isfinite(meter.squares).all():
                refuse(f"the float model gives infinite values or no numbers for sample {index}", name)
    spreads = {name: meter.spread() for name, meter in meters.items()}
    if method is Method.MINMAX:
        return spreads
    return _narrowed(floats, views, spreads, samples, method, watch)


def _narrowed(
    floats: Floats,
    views: Mapping[str, View],
    spreads: Mapping[str, Spread],
    samples: Sequence[Sample],
    method: Method,
    watch: Watch,
) -> dict[str, Spread]:
    """The spreads with outliers cut off, found by histograms in a second run over the samples."""
    channels = sum(spread.low.size for spread in spreads.values())
    bins = max(min(BINS, BINS_MAX // channels), 16)
    counts = {name: np.zeros((spread.low.size, bins), dtype=np.int64) for name, spread in spreads.items()}
    for index, sample in enumerate(samples):
        watch("calibrating again", index, len(samples))
        arrays = floats.run(sample)
        for name, spread in spreads.items():
            counts[name] += _histogram(by_channel(views[name].of(arrays), spread.axis), spread, bins)
    narrow = _percentiles if method is Method.PERCENTILE else _least_error
    return {name: narrow(spread, counts[name]) for name, spread in spreads.items()}


def _histogram(rows: Reals, spread: Spread, bins: int) -> Integers:
    width = np.maximum(spread.high - spread.low, 2.0**-100)[:, None]
    at = np.clip((rows - spread.low[:, None]) / width * bins, 0, bins - 1).astype(np.int64)
    flat = (at + np.arange(rows.shape[0])[:, None] * bins).reshape(-1)
    return np.bincount(flat, minlength=rows.shape[0] * bins).reshape(-1, bins)


def _percentiles(spread: Spread, counts: Integers) -> Spread:
    bins, allowed = counts.shape[1], counts.sum(axis=1)[:, None] * _SHARE
    below = (np.cumsum(counts, axis=1) <= allowed).sum(axis=1)
    above = (np.cumsum(counts[:, ::-1], axis=1) <= allowed).sum(axis=1)
    width = (spread.high - spread.low) / bins
    return _cut(spread, spread.low + below * width, spread.high - above * width)


def _least_error(spread: Spread, counts: Integers) -> Spread:
    """Both ends move towards zero by the same factor."""
    bins = counts.shape[1]
    centres = spread.low[:, None] + (spread.high - spread.low)[:, None] * (np.arange(bins) + 0.5) / bins
    best, least = np.ones(len(counts)), np.full(len(counts), np.inf)
    for factor in np.arange(20, 4, -1) / 20:
        low, high = (spread.low * factor)[:, None], (spread.high * factor)[:, None]
        beyond = np.maximum(centres - high, 0) + np.maximum(low - centres, 0)
        step = (high - low) / (2**_ERROR_BITS - 1)
        error = (counts * (beyond**2 + step**2 / 12)).sum(axis=1)
        better = error < least
        best, least = np.where(better, factor, best), np.where(better, error, least)
    return _cut(spread, spread.low * best, spread.high * best)


def _cut(spread: Spread, low: Reals, high: Reals) -> Spread:
    """Narrower, but never without zero if zero was within."""
    low = np.where(spread.low <= 0, np.minimum(low, 0), low)
    high = np.where(spread.high >= 0, np.maximum(high, 0), high)
    return Spread(spread.axis, short(low), short(np.maximum(high, low)), spread.mean, spread.square)
