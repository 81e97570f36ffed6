"""What the converter makes of a float model: a list of nodes of few kinds, each with its float meaning.

The front end (`fold`, `importer`, `regions`) turns what exporters write into these; the back end
(`calibrate`, `allocate`, `lower`) turns these into integers. Nothing here is trusted: whatever either
end does, the model that comes out is exact because the prover says so from its bytes alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

MASKED: Final = -1000.0
"""What is added to a score that a softmax is to ignore is at most this."""

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node. `name` is the tensor of the (folded) float model that holds its result."""

    name: str
    inputs: tuple[str, ...]
    """Names of steps or of the model's inputs."""
    shape: Shape
    whole: bool = False
    """Whether the float model has whole numbers or Booleans here, as of positions: each stands for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Step):
    """Fixed reals among the computed, as the class token of a vision transformer; no inputs."""

    values: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a convolution or pooling slides over the dimensions after the second."""

    kernel: Shape
    strides: Shape
    dilations: Shape
    before: Shape
    """Padding with zeros (of nothing, in a pooling) before each dimension."""
    after: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution(Step):
    """x[n, in, ...] with weights[out, in / groups, *kernel] and bias[out]; the transposed one has
    weights[in, out / groups, *kernel]."""

    weights: Reals
    bias: Reals
    window: Window
    groups: int = 1
    transposed: bool = False
    output_padding: Shape = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix(Step):
    """x[..., in] with weights[in, out], plus bias[out]."""

    weights: Reals
    bias: Reals


class Form(StrEnum):
    """What the values of an elementwise function showed it to be; CURVE is any other, given by its values."""

    AFFINE = "affine"
    CLIP = "clip"
    CURVE = "curve"
    HARD_SIGMOID = "hard sigmoid"
    HARD_SWISH = "hard swish"
    LEAKY = "leaky relu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(Step):
    """An elementwise function of one tensor: evaluate(x * scale + offset), then, for AFFINE, nothing
    else.

    `scale` and `offset` broadcast against the input's shape, as numpy does (so [C, 1, 1] for one per image
    channel). `parameters`: CLIP (low, high, infinite if open); HARD_SIGMOID (slope, shift):
    min(max(slope * x + shift, 0), 1); HARD_SWISH the same, times x; LEAKY (slope below zero).
    """

    form: Form
    scale: Reals
    offset: Reals
    evaluate: Callable[[Reals], Reals]
    """The function after scale and offset, on reals; the same bits in every process."""
    parameters: tuple[float, ...] = ()
    label: str = ""
    """What people call it: Gelu, Sigmoid, ..."""


class Combination(StrEnum):
    """How two computed tensors meet, element by element, with numpy's broadcasting."""

    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    GATE = "gate"
    """The same, where the second is a limited sum from 0 to 1, and nothing else reads it or the sum."""
    MAXIMUM = "maximum"
    MINIMUM = "minimum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Combine(Step):
    """Two computed tensors, element by element."""

    combination: Combination


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(Step):
    """x[..., m, k] @ y[..., k, n], both computed, times `scale`; attention is made of these."""

    terms: int
    """k."""
    scale: float = 1.0


class Reduction(StrEnum):
    """How a window or an axis becomes one number."""

    MAX = "max"
    MEAN = "mean"
    MIN = "min"
    SUM = "sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Step):
    """A reduction (MAX or MEAN) over a sliding window. `counts_padding`: whether MEAN divides by the whole
    window."""

    reduction: Reduction
    window: Window
    counts_padding: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce(Step):
    """A reduction over whole axes, from the front."""

    reduction: Reduction
    axes: Shape
    keep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm(Step):
    """(x - mean) / sqrt(variance + epsilon) over the trailing `axes` dimensions, times gain, plus bias.

    Unless `centred`, x / sqrt(mean of squares + epsilon) instead. Gain and bias broadcast against x, as numpy
    does.
    """

    axes: int
    centred: bool = True
    epsilon: float
    gain: Reals
    bias: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Step):
    """exp(x - max) / sum over one axis, from the front, in the middle of a model.

    `mask`, if any, is added before (constant, broadcast; hugely negative, or -inf, where a score is to be
    ignored). A second input, if any, is 1 where a score counts and 0 where it is ignored (broadcast).
    """

    axis: int
    mask: Reals | None = None


class Movement(StrEnum):
    """Operators that only move elements."""

    CONCAT = "Concat"
    GATHER = "Gather"
    IDENTITY = "Identity"
    PAD = "Pad"
    RESHAPE = "Reshape"
    RESIZE = "Resize"
    SLICE = "Slice"
    TRANSPOSE = "Transpose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Step):
    """One or more (CONCAT) tensors, moved. Every argument is a plain tuple of integers by the name that
    ONNX gives it: RESHAPE none (the result's shape says all); TRANSPOSE perm; SLICE starts, ends, axes,
    steps; CONCAT axis; PAD pads; RESIZE scales (whole factors, nearest); GATHER axis, indices (then reshaped
    to the step's shape: a single index may take its axis away)."""

    movement: Movement
    arguments: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fill: float = 0.0
    """What PAD pads with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Step):
    """rows[x] for whole numbers x below len(rows): an embedding."""

    rows: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees(Step):
    """Sums of leaves of decision trees over x[1, features]: one sum for each of `outputs`.

    Node arrays are parallel, children are indices into them; a leaf has left == right == -1. `greater`
    goes left if x[feature] <= threshold. Leaf values: rows (node, output, value). `base`: added to each
    output.
    """

    roots: Integers
    features: Integers
    thresholds: Reals
    left: Integers
    right: Integers
    strict: bool
    """Whether the branch is x < threshold instead of x <= threshold."""
    leaf_nodes: Integers
    leaf_outputs: Integers
    leaf_values: Reals
    base: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An input of the model."""

    name: str
    dtype: str
    """float32 or float64: reals, on a grid that calibration finds; an integer type: whole numbers as
    they are."""
    shape: Shape


class Head(StrEnum):
    """What the float model did to an output after the last step, and the exact model leaves out: it
    never changes which score is the greatest."""

    NONE = ""
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """An output of the model: the name it had, the step whose result it gives as integers with a scale."""

    name: str
    step: str
    head: Head = Head.NONE
    head_axis: int | None = None
    """The axis, from the front, over which a softmax that was cut ran: that of the classes."""
    class_axis: int | None = None
    """Where the float model (also) gives the index of the greatest along this axis: an ArgMax is added."""

    def axis(self, shape: Shape) -> int:
        """Along which the scores of the classes lie: as the model shows, else as is usual for the shape."""
        known = self.class_axis if self.class_axis is not None else self.head_axis
        return (1 if len(shape) == 4 else len(shape) - 1) if known is None else known % len(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A float model, understood."""

    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    """In an order in which they can be computed; none is unused."""
    sinks: tuple[Sink, ...]
    folded: bytes
    """The ONNX file of the float model after folding, every step's result a tensor of that name in it."""
    unprotected: tuple[str, ...] = ()
    """Protections that this platform lacks and the process that folded the model did without."""


def shapes_of(program: Program) -> dict[str, Shape]:
    """The shape of every tensor by its name: inputs first, then results of steps."""
    shapes = {source.name: source.shape for source in program.sources}
    return shapes | {step.name: step.shape for step in program.steps}
