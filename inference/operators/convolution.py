"""Conv and ConvTranspose over one or two dimensions, with constant weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from inference.bounds import Cell, along
from inference.graph import AttributeValue
from inference.operators.constants import ensure_channels
from inference.operators.linear import STEPS_PER_WEIGHT, bias
from inference.operators.rule import INTS, REQUIRED, Application, Flow, Kind, Rule, Value
from inference.operators.weights import Terms, Weights, products, terms
from inference.tensor import ELEMENTS_MAX

EXTENT_MAX: Final = 65_536
"""Greatest kernel, stride, dilation or padding: no more than engines can count in 32 bits, whatever they
multiply.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel slides over the dimensions after the second."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def reach(self, axis: int) -> int:
        """How many elements the kernel spans, those between its own included."""
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1


def window(application: Application, x: Value) -> Window:
    """The attributes of a node that slides over x[batch, channels, ...]. Raises Refused.

    Padding stays below the reach of the kernel, so that no output is made of padding alone.
    """
    rank = len(x.shape) - 2
    if rank not in (1, 2):
        application.refuse(f"input 0 must have 3 or 4 dimensions, not {len(x.shape)}")
    kernel, strides, dilations, pads = (
        application.ints(name) for name in ("kernel_shape", "strides", "dilations", "pads")
    )
    if not len(kernel) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank:
        application.refuse(f"kernel_shape, strides and dilations need {rank} entries, pads {2 * rank}")
    if not all(1 <= size <= EXTENT_MAX for size in (*kernel, *strides, *dilations)):
        application.refuse(f"kernel_shape, strides and dilations must be from 1 to {EXTENT_MAX}")
    found = Window(kernel, strides, dilations, pads[:rank], pads[rank:])
    for axis, size in enumerate(pads):
        if not 0 <= size <= min(EXTENT_MAX, found.reach(axis % rank) - 1):
            application.refuse("pads must be 0 or more, and less than the kernel reaches")
    return found


def slid(application: Application, x: Value, known: Window) -> tuple[int, ...]:
    """The sizes of the dimensions after the second of what a sliding kernel makes. Raises Refused."""
    sizes = []
    for axis, size in enumerate(x.shape[2:]):
        room = size + known.before[axis] + known.after[axis] - known.reach(axis)
        if room < 0:
            application.refuse(f"the kernel is larger than dimension {axis + 2}")
        sizes.append(room // known.strides[axis] + 1)
    return tuple(sizes)


def _conv(application: Application) -> tuple[Value, ...]:
    """x[batch, in, ...] with W[out, in / group, *kernel] and c[out]."""
    x, weight = application.computed(0, "float32"), application.constant(1, "float32")
    known = window(application, x)
    group = _groups(application, x, weight.shape, known)
    outputs, inputs = weight.shape[:2]
    if outputs % group or x.shape[1] != inputs * group:
        application.refuse(f"weights {list(weight.shape)} in {group} groups do not meet {list(x.shape)}")
    biases = bias(application, 2, outputs)
    weights, each = Weights(weight, application), inputs * prod(known.kernel)
    _spend(application, outputs, len(weights))
    cells = []
    for at, meeting in enumerate(_meeting(application, x, group, prod(known.kernel))):
        for out in range(at * outputs // group, (at + 1) * outputs // group):
            own = weights.values(slice(out * each, (out + 1) * each))
            cells.append(products(own, meeting, biases[out : out + 1]))
    shape = (x.shape[0], outputs, *slid(application, x, known))
    application.work.macs += prod(shape) * each
    return _result(application, shape, cells)


def _conv_transpose(application: Application) -> tuple[Value, ...]:
    """x[batch, in, ...] with W[in, out / group, *kernel] and c[out]: each element spreads over a window."""
    x, weight = application.computed(0, "float32"), application.constant(1, "float32")
    known = window(application, x)
    group = _groups(application, x, weight.shape, known)
    inputs, outputs = weight.shape[:2]
    if inputs % group or x.shape[1] != inputs:
        application.refuse(f"weights {list(weight.shape)} in {group} groups do not meet {list(x.shape)}")
    sizes = _spread(application, x, known)
    taps = prod(known.kernel)
    if outputs * taps * prod(x.shape[2:]) > ELEMENTS_MAX:
        application.refuse(f"the spread windows have more than {ELEMENTS_MAX} elements")
    biases = bias(application, 2, outputs * group)
    weights = Weights(weight, application)
    _spend(application, outputs * group, len(weights))
    cells = []
    for at, meeting in enumerate(_meeting(application, x, group, taps)):
        channels = range(at * inputs // group, (at + 1) * inputs // group)
        for out in range(outputs):
            own: list[int] = []
            for start in ((channel * outputs + out) * taps for channel in channels):
                own += weights.values(slice(start, start + taps))
            cells.append(products(own, meeting, biases[at * outputs + out : at * outputs + out + 1]))
    application.work.macs += x.elements * outputs * taps
    return _result(application, (x.shape[0], outputs * group, *sizes), cells)


def _groups(application: Application, x: Value, shape: Sequence[int], known: Window) -> int:
    """The number of groups of channels, once the weights have the kernel's shape."""
    group = application.integer("group")
    if not 1 <= group <= x.shape[1] or x.shape[1] % group:
        application.refuse(f"{x.shape[1]} channels do not make {group} groups")
    if tuple(shape[2:]) != known.kernel:
        application.refuse(f"weights {list(shape)} do not have the kernel's shape {list(known.kernel)}")
    return group


def _spread(application: Application, x: Value, known: Window) -> tuple[int, ...]:
    """The sizes of the dimensions after the second of a transposed convolution's output."""
    extra = application.ints("output_padding")
    if len(extra) != len(known.kernel):
        application.refuse(f"output_padding needs {len(known.kernel)} entries")
    sizes = []
    for axis, size in enumerate(x.shape[2:]):
        if not 0 <= extra[axis] < known.strides[axis]:
            application.refuse("output_padding must be 0 or more, and less than the stride")
        whole = known.strides[axis] * (size - 1) + extra[axis] + known.reach(axis)
        sizes.append(whole - known.before[axis] - known.after[axis])
    if min(sizes) < 1:
        application.refuse("pads leave nothing of the output")
    return tuple(sizes)


def _meeting(application: Application, x: Value, group: int, taps: int) -> Iterator[Terms]:
    """For each group the hulls that its weights meet: each channel's for every tap of its kernel. Made one by
    one, for all of them may take as much memory as the weights.
    """
    channels = x.shape[1]
    ensure_channels(channels, application)
    inner = channels // group
    cells = x.bounds.at(1, channels)
    ensure_channels(inner * taps, application)
    application.work.spend_cells(len(x.bounds.cells))
    if x.bounds.axis != 1:
        yield from [terms(cells[:1], taps)] * group
        return
    application.work.spend(channels * taps)
    for at in range(group):
        yield terms(cells[at * inner : (at + 1) * inner], taps)


def _spend(application: Application, outputs: int, weights: int) -> None:
    ensure_channels(outputs, application)
    application.work.spend_cells(outputs)
    application.work.spend(STEPS_PER_WEIGHT * weights)


def _result(application: Application, shape: tuple[int, ...], cells: list[Cell]) -> tuple[Value, ...]:
    application.ensure_shape(shape)
    return (Value("float32", shape, application.fitting(along(1, cells), "float32")),)


SLIDING: Final[dict[str, tuple[Kind, AttributeValue | None]]] = {
    "dilations": (INTS, REQUIRED),
    "kernel_shape": (INTS, REQUIRED),
    "pads": (INTS, REQUIRED),
    "strides": (INTS, REQUIRED),
}
"""All are required, so that there is one way to say each; `auto_pad` is none of them."""

RULES: Final = {
    "Conv": Rule(
        arity=range(2, 4), attributes=SLIDING | {"group": (int, REQUIRED)}, apply=_conv, flow=Flow.LINEAR
    ),
    "ConvTranspose": Rule(
        arity=range(2, 4),
        attributes=SLIDING | {"group": (int, REQUIRED), "output_padding": (INTS, REQUIRED)},
        apply=_conv_transpose,
        flow=Flow.LINEAR,
    ),
}
