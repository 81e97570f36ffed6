"""One pass over the steps of a program: each becomes nodes of the exact graph, by the rule of its kind."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from inference.converter.code import Code, Grid, one
from inference.converter.plan import Plan
from inference.converter.program import Integers, Reals, Shape, Step
from inference.engines.interface import from_array
from inference.graph import AttributeValue, Graph, Node, Port
from inference.operators.registry import RULES
from inference.operators.rule import ADJUSTING, Flow
from inference.refusal import refuse
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor

SUM_MAX: Final = 2**24 - 1
"""Greatest magnitude, in steps, of anything in float32."""

_FACTOR_BITS_MIN: Final = 5
"""Fewest bits of a factor from one scale to another: with less, the error would be above 3 %."""

SLACK: Final = 2.0
"""How much wider than its grid a tensor may be for the lack of a Clip: one bit less for the weights that meet
it, but a pass over memory saved, where the Clip would not be part of a convolution.
"""

_SAME: Final = 1e-9
"""Relative difference below which two scales are one: they were computed by other ways."""


def hull_of_sum(left: tuple[Reals, Reals], right: tuple[Reals, Reals]) -> tuple[Reals, Reals]:
    """Limits of a sum, given those of its terms: an engine may meet either term alone."""
    low = np.minimum(left[0], 0) + np.minimum(right[0], 0)
    high = np.maximum(left[1], 0) + np.maximum(right[1], 0)
    return low, high


class Lowering:
    """The exact graph as it grows. See `rule` for how rules use it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor] = {}
        self.weight_bits: dict[str, int] = {}
        """What the weights of each linear step got."""
        self._known: dict[tuple[str, Shape, bytes], str] = {}
        self._makers: dict[str, str] = {}
        self._adjusted: set[str] = set()
        self._raw: dict[str, Code] = {}
        self._integers: dict[str, Code] = {}

    def grid(self, name: str) -> Grid:
        """What was planned for the result of a step, or for an input."""
        return self.plan.grids[name]

    def put(self, name: str, code: Code) -> None:
        """Let `code` stand for the tensor `name` of the float model."""
        self._raw[name] = code

    def raw(self, name: str) -> Code:
        """The tensor as its step made it: perhaps unrounded, perhaps far beyond its grid."""
        return self._raw[name]

    def whole(self, name: str) -> Code:
        """The tensor in whole numbers of any scale and offset."""
        code, step = self._raw[name], self.plan.steps.get(name)
        if code.whole and step is not None and not self.plan.means.keys().isdisjoint((name, *step.inputs)):
            return code
        if self._on_grid(code, self.grid(name)):
            return self.integers(name)
        return code if code.whole else self.rounded(code)

    def integers(self, name: str) -> Code:
        """The tensor in the integers of its grid."""
        if name not in self._integers:
            code, grid = self._raw[name], self.grid(name)
            code = self.onto(code, grid, name)
            int8 = self.plan.options.int8
            if int8 or self.by_convolution(code) or not self._nearly_within(name, code, grid):
                code = self.limited(code, grid.low, grid.high, always=int8 and not code.whole)
            self._integers[name] = self.rounded(code)
        return self._integers[name]

    def is_adjusted(self, code: Code) -> bool:
        """Whether a constant met what makes this tensor since it was rounded last, as the prover sees it: a
        product that is to round once may not take it."""
        return code.name in self._adjusted

    def by_convolution(self, code: Code) -> bool:
        """Whether a Clip of this tensor becomes part of the operator that makes it."""
        return self._makers.get(code.name) == "Conv"

    def _nearly_within(self, name: str, code: Code, grid: Grid) -> bool:
        """Whole numbers of the float model always are: what was not seen of them is no error."""
        step = self.plan.steps.get(name)
        if step is not None and step.whole:
            return True
        width = float(code.high.max() - code.low.min())
        return width <= SLACK * (grid.high - grid.low)

    def magnitude(self, name: str, unit: Reals) -> float:
        """The greatest magnitude of what `integers` gives or will give, in other units."""
        grid = self.grid(name)
        code = self._integers.get(name)
        known = SLACK * grid.magnitude if code is None else np.maximum(-code.low, code.high).max()
        return float(np.ceil(known * np.max(grid.scale / unit))) + 1

    def add(self, operator: str, *inputs: str, **attributes: AttributeValue) -> str:
        """Append a node of the standard domain; the name of its output."""
        return self.add_from("", operator, inputs, attributes)

    def add_from(
        self, domain: str, operator: str, inputs: tuple[str, ...], attributes: Mapping[str, AttributeValue]
    ) -> str:
        """Append a node of any domain; the name of its output."""
        name = f"n{len(self.nodes)}"
        self._makers[name] = operator
        carries = RULES[operator].flow is not Flow.CUTS and not self._adjusted.isdisjoint(inputs)
        if carries or (operator in ADJUSTING and any(each in self.constants for each in inputs)):
            self._adjusted.add(name)
        self.nodes.append(Node(len(self.nodes), operator, inputs, (name,), attributes, domain))
        return name

    def constant(self, values: NDArray[Any], *, wide: bool = False) -> str:
        """The name of a constant: of integers as they are, of reals as float32, which must hold them exactly,
        or as float64 if `wide`.

        The same constant is kept once.
        """
        if values.dtype == np.float64 and not wide:
            exact = values.astype(np.float32)
            assert np.array_equal(exact, values), "a constant is not exact in float32"
            values = exact
        tensor = from_array(values)
        key = (tensor.dtype, tensor.shape, tensor.data)
        if key not in self._known:
            self._known[key] = f"c{len(self._known)}"
            self.constants[self._known[key]] = tensor
        return self._known[key]

    def made(
        self,
        name: str,
        step: Step,
        *,
        scale: Reals | None = None,
        fraction: Integers | int = 0,
        low: Reals | float,
        high: Reals | float,
    ) -> Code:
        """A code for the result of `step`, in the scale of its grid if none is given.

        `fraction`: every value is a multiple of 2^fraction.
        """
        return Code(
            name=name,
            shape=step.shape,
            scale=self.grid(step.name).scale if scale is None else scale,
            offset=one(0.0),
            step=np.asarray(fraction, dtype=np.int64),
            low=np.asarray(low, dtype=np.float64),
            high=np.asarray(high, dtype=np.float64),
        )

    def changed(self, code: Code, name: str, **parts: Any) -> Code:
        """`code`, but for what is given."""
        kept = {each: getattr(code, each) for each in Code.__slots__}
        return Code(**(kept | {"name": name} | parts))

    def limited(self, code: Code, low: float, high: float, *, always: bool = False) -> Code:
        """No value below `low` or above `high`, which are whole.

        `always`: with a Clip even if there is no such value, so that the limits can be read off the graph.
        """
        if code.low.min() >= low and code.high.max() <= high and not always:
            return code
        if (low, high) == (0, 1) and not self.plan.options.int8:
            # The same, which engines make part of a product of matrices as well.
            name = self.add("HardSigmoid", code.name, alpha=1.0, beta=0.0)
        else:
            name = self.add("Clip", code.name, self.constant(one(low)), self.constant(one(high)))
        ends = (np.clip(code.low, low, high), np.clip(code.high, low, high))
        return self.changed(code, name, step=np.minimum(code.step, 0), low=ends[0], high=ends[1])

    def rounded(self, code: Code) -> Code:
        """Whole numbers."""
        if code.whole:
            return code
        return self.changed(
            code,
            self.add("Round", code.name),
            step=np.maximum(code.step, 0),
            low=np.rint(code.low),
            high=np.rint(code.high),
            loose=False,
        )

    def onto(self, code: Code, grid: Grid, name: str) -> Code:
        """The code in the grid's scale: as it is, if it has that scale."""
        return code if self._on_grid(code, grid) else self.rescaled(code, grid, name)

    def rescaled(self, code: Code, grid: Grid, name: str) -> Code:
        """The code in the grid's scale, by a factor that is as precise as 24 bits allow; unrounded."""
        code = self.rounded(code)
        ratio, offset = code.scale / grid.scale, code.offset / grid.scale
        magnitude = float(np.maximum(np.abs(code.low), np.abs(code.high)).max())
        room = np.floor(np.log2(SUM_MAX / (magnitude * np.abs(ratio) + np.abs(offset) + grid.magnitude)))
        fraction = np.minimum(_least(room, ratio.shape), 20).astype(np.int64)
        factor, shift = np.rint(np.ldexp(ratio, fraction)), np.rint(np.ldexp(offset, fraction))
        if (np.abs(factor) < 2**_FACTOR_BITS_MIN).any():
            self.refuse(name, "another scale for it leaves too few bits", "split the step, or use fewer bits")
        at = code.name
        factor, shift = np.ldexp(factor, -fraction), np.ldexp(shift, -fraction)
        at = at if (factor == 1).all() else self.add("Mul", at, self.constant(factor))
        at = self.add("Add", at, self.constant(shift)) if shift.any() else at
        # The prover knows a constant that varies along several dimensions by its ends.
        several = sum(size > 1 for size in shift.shape) > 1
        added = (shift.min(), shift.max()) if several else (shift, shift)
        low, high = hull_of_sum((code.low * factor, code.high * factor), added)
        return self.changed(
            code,
            at,
            scale=grid.scale,
            offset=one(0.0),
            step=-fraction,
            low=low,
            high=high,
        )

    def refuse(self, name: str, reason: str, advice: str) -> NoReturn:
        """Raises Refused: the step that makes `name`, why it cannot be exact, and what to change."""
        step = self.plan.steps.get(name)
        refuse(f"{reason}: {advice}", f"{type(step).__name__} -> {name}" if step else name)

    def graph(
        self, inputs: tuple[Port, ...], outputs: tuple[Port, ...], metadata: Mapping[str, str]
    ) -> Graph:
        """What has been made; constants and nodes that nothing uses are left out."""
        wanted = {port.name for port in outputs}
        nodes = []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.outputs):
                nodes.append(node)
                wanted.update(node.inputs)
        ordered = tuple(
            Node(position, node.operator, node.inputs, node.outputs, node.attributes, node.domain)
            for position, node in enumerate(reversed(nodes))
        )
        constants = {name: tensor for name, tensor in self.constants.items() if name in wanted}
        return Graph(inputs, outputs, ordered, constants, metadata)

    def rename(self, old: str, new: str) -> None:
        """Let the output `old` of the last node be called `new`."""
        last = self.nodes[-1]
        assert last.outputs == (old,)
        self.nodes[-1] = Node(last.position, last.operator, last.inputs, (new,), last.attributes, last.domain)

    def codes(self) -> dict[str, Code]:
        """What stands for each tensor of the float model, rounded where somebody needed that."""
        return self._raw | self._integers

    def cast(self, name: str, dtype: str) -> str:
        """A Cast."""
        return self.add("Cast", name, to=ELEMENT_CODES[dtype])

    def _on_grid(self, code: Code, grid: Grid) -> bool:
        same = np.abs(code.scale / grid.scale - 1) < _SAME
        return bool(same.all()) and not code.offset.any()


def _least(values: Reals, shape: Shape) -> Reals:
    """The least along every dimension that an array of `shape`, which broadcasts against `values`, lacks."""
    full = (1,) * (values.ndim - len(shape)) + shape
    axes = tuple(axis for axis, size in enumerate(full) if size == 1)
    least: Reals = values.min(axis=axes, keepdims=True).reshape(shape)
    return least
