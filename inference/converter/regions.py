"""Pass 6, first half: maximal elementwise regions with one root, each a function of one variable."""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum, auto
from typing import Final

import numpy as np

from inference.converter.draft import Draft, number
from inference.converter.elementwise import OPERATORS, Curve, Operation
from inference.converter.forms import identity, recognise
from inference.converter.program import Combination, Combine, Constant, Form, Map, Reals, Step
from inference.graph import Node
from inference.refusal import refuse

_COMBINATIONS: Final[Mapping[str, Combination]] = {
    "Add": Combination.ADD,
    "And": Combination.MULTIPLY,
    "Div": Combination.DIVIDE,
    "Max": Combination.MAXIMUM,
    "Min": Combination.MINIMUM,
    "Mul": Combination.MULTIPLY,
    "Sub": Combination.SUBTRACT,
    "Sum": Combination.ADD,
}

_WHOLE: Final = frozenset(
    {
        *("Add", "And", "Cast", "Clip", "Dropout", "Equal", "Greater", "GreaterOrEqual", "Identity", "Less"),
        *("LessOrEqual", "Max", "Min", "Mul", "Not", "Or", "Sub", "Where"),
    }
)
"""Operators that mean the same for whole numbers (and Booleans, as 0 and 1) as for reals."""

REALS: Final = ("float32", "float64")


class Role(Enum):
    """What a node is to the regions."""

    FUNCTION = auto()
    """A function of one tensor, element by element, the same for each."""
    AFFINE = auto()
    """x * scale + offset with constants that differ from element to element."""
    COMBINE = auto()
    """Two computed tensors, or one and a constant, meet."""
    OTHER = auto()


class Regions:
    """The roles of nodes, and the roots of the tensors that are functions of one other."""

    def __init__(self, draft: Draft, nodes: Sequence[Node]) -> None:
        """Raises Refused for elementwise operators that fit no role."""
        self._draft = draft
        self._order = {id(node): index for index, node in enumerate(nodes)}
        self._roots: dict[str, str] = {}
        self._roles: dict[int, Role] = {}
        for node in nodes:
            role = self._role_of(node)
            self._roles[id(node)] = role
            if role is Role.FUNCTION:
                self._roots[node.outputs[0]] = self.root(draft.computed(node)[0])

    def role(self, node: Node) -> Role:
        return self._roles[id(node)]

    def root(self, name: str) -> str:
        """The tensor, computed otherwise, that `name` is a function of; itself if there is none."""
        return self._roots.get(name, name)

    def _role_of(self, node: Node) -> Role:
        draft = self._draft
        if node.operator in ("BatchNormalization", "Imputer", "Scaler"):
            return Role.AFFINE
        if node.domain or node.operator not in OPERATORS:
            return Role.OTHER
        computed = list(dict.fromkeys(draft.computed(node)))
        if not computed:
            refuse("nothing that this depends on is an input of the model", node.place)
        self._ensure_reals(node, computed)
        shape = draft.shape(node.outputs[0])
        same = all(draft.shape(name) == shape for name in computed)
        constants = [name for name in node.inputs if name in draft.constants]
        uniform = all(_uniform(draft.constants[name]) for name in constants)
        if same and uniform and len({self.root(name) for name in computed}) == 1:
            return Role.FUNCTION
        if same and len(computed) == 1 and node.operator in _AFFINE:
            # No channel takes zeros that lie here and there, as sines of positions do.
            scattered = any(_scattered(draft.constants[name]) for name in constants)
            return Role.COMBINE if node.operator == "Mul" and scattered else Role.AFFINE
        if node.operator == "And" and len(computed) == 1 and len(constants) == 1:
            # A product of zeros and ones.
            return Role.COMBINE
        divided = node.operator == "Div" and node.inputs[1] in draft.constants
        if len(node.inputs) == 2 and node.operator in _COMBINATIONS and not divided:
            return Role.COMBINE
        return refuse("this operator has constants that differ from element to element", node.place)

    def _ensure_reals(self, node: Node, computed: list[str]) -> None:
        given, made = self._draft.dtype(computed[0]), self._draft.dtype(node.outputs[0])
        if given in REALS and made not in REALS:
            refuse(f"a step from {given} to {made or 'text'} within the model", node.place)
        if given not in REALS and node.operator not in _WHOLE:
            refuse(
                "arithmetic on whole numbers; bind the input that it starts from as a constant", node.place
            )

    def function(self, target: str, stops: Collection[str]) -> list[Step]:
        """The function that `target` is of the nearest tensor among `stops`, or of its root; an offset behind
        a form that has none is a step of its own.
        """
        nodes = self._region(target, stops) or self._region(target, ())
        assert nodes
        leaf = next(iter(self._leaves(nodes)))
        form = recognise(self._curve(nodes, leaf))
        name, steps = target, []
        if form.after:
            shape = self._draft.shape(target)
            offset = self._draft.constant("offset", np.array(form.after, dtype=self._draft.dtype(target)))
            name = self._draft.extend("Sub", [target, offset], shape).outputs[0]
            steps.append(affine(target, name, self._draft, _ONE, np.array(form.after)))
        made = Map(
            name=name,
            inputs=(leaf,),
            shape=self._draft.shape(target),
            form=form.form,
            scale=np.array(form.scale),
            offset=np.array(form.offset),
            evaluate=form.evaluate,
            parameters=form.parameters,
            label=form.label,
        )
        return [made, *steps]

    def _region(self, target: str, stops: Collection[str]) -> list[Node]:
        """The nodes between `target` and the one tensor that it depends on, in order; none if it depends on
        several.
        """
        found: dict[int, Node] = {}
        waiting = [target]
        while waiting:
            node = self._draft.producer(waiting.pop())
            assert node is not None
            if id(node) in found:
                continue
            found[id(node)] = node
            waiting += [
                name for name in self._draft.computed(node) if name in self._roots and name not in stops
            ]
        nodes = sorted(found.values(), key=lambda node: self._order[id(node)])
        return nodes if len(self._leaves(nodes)) == 1 else []

    def _leaves(self, nodes: Sequence[Node]) -> set[str]:
        inside = {node.outputs[0] for node in nodes}
        return {name for node in nodes for name in self._draft.computed(node)} - inside

    def _curve(self, nodes: Sequence[Node], leaf: str) -> Curve:
        at = {leaf: 0}
        operations = []
        for node in nodes:
            operands = tuple(at[name] if name in at else self._number(name) for name in node.inputs)
            operations.append(Operation(node, operands))
            at[node.outputs[0]] = len(operations)
        return Curve(tuple(operations))

    def _number(self, name: str) -> float:
        """A constant all of whose elements are the same; NaN for an optional input left out."""
        return float(self._draft.constants[name].reshape(-1)[0]) if name else float("nan")

    def affine(self, node: Node) -> Map:
        """A node whose constants differ from element to element. Raises Refused."""
        if node.operator in _AFFINE:
            scale, offset = _AFFINE[node.operator](self._draft, node)
        else:
            scale, offset = _NORMALISERS[node.operator](self._draft, node)
        return affine(node.outputs[0], self._draft.computed(node)[0], self._draft, scale, offset)

    def combine(self, node: Node) -> list[Step]:
        """Two tensors; a constant becomes a step of its own."""
        steps: list[Step] = []
        inputs = tuple(operand(self._draft, name, steps) for name in node.inputs)
        made = Combine(
            name=node.outputs[0],
            inputs=inputs,
            shape=self._draft.shape(node.outputs[0]),
            combination=_COMBINATIONS[node.operator],
        )
        return [*steps, made]


def operand(draft: Draft, name: str, steps: list[Step]) -> str:
    """A computed tensor as it is; a constant as a step, added to `steps`. Raises Refused."""
    if name not in draft.constants:
        return name
    values = draft.constants[name].astype(np.float64)
    if not np.isfinite(values).all():
        refuse("a constant is infinite or not a number", name)
    reals = draft.dtype(name) in REALS
    node = draft.extend("Identity" if reals else "Cast", [name], values.shape, {} if reals else {"to": 1})
    steps.append(Constant(name=node.outputs[0], inputs=(), shape=values.shape, values=values))
    return node.outputs[0]


def affine(name: str, source: str, draft: Draft, scale: Reals, offset: Reals) -> Map:
    """x * scale + offset, as a step."""
    return Map(
        name=name,
        inputs=(source,),
        shape=draft.shape(name),
        form=Form.AFFINE,
        scale=_trimmed(scale),
        offset=_trimmed(offset),
        evaluate=identity,
    )


def _trimmed(values: Reals) -> Reals:
    """Without leading dimensions of size 1; a scalar if all elements are the same."""
    if values.size and (values == values.reshape(-1)[0]).all():
        return np.array(values.reshape(-1)[0])
    while values.ndim and values.shape[0] == 1:
        values = values[0]
    return values


def _uniform(value: Reals) -> bool:
    return value.size > 0 and bool((value == value.reshape(-1)[0]).all())


def _scattered(value: Reals) -> bool:
    """Whether there are zeros among numbers that vary along several dimensions."""
    return not value.all() and sum(size > 1 for size in value.shape) > 1


_Pair = tuple[Reals, Reals]
_ONE: Final = np.array(1.0)
_ZERO: Final = np.array(0.0)


def _split(draft: Draft, node: Node) -> tuple[list[Reals], int]:
    """The constants of a node, and the index of its computed input."""
    index = next(at for at, name in enumerate(node.inputs) if name and name not in draft.constants)
    constants = [draft.constants[name].astype(np.float64) for name in node.inputs if name in draft.constants]
    if any(np.isnan(each).any() for each in constants):
        refuse("a constant is not a number", node.place)
    return constants, index


def _add(draft: Draft, node: Node) -> _Pair:
    constants, _ = _split(draft, node)
    return _ONE, constants[0]


def _subtract(draft: Draft, node: Node) -> _Pair:
    (constant,), index = _split(draft, node)
    return (-_ONE, constant) if index else (_ONE, -constant)


def _multiply(draft: Draft, node: Node) -> _Pair:
    return draft.reals(node, 1 - _split(draft, node)[1], "the factors"), _ZERO


def _divide(draft: Draft, node: Node) -> _Pair:
    (constant,), index = _split(draft, node)
    if index or not constant.all():
        refuse("a division by an input or by zero", node.place)
    return 1 / constant, _ZERO


def _where(draft: Draft, node: Node) -> _Pair:
    """The computed values where the condition holds (or does not), the constant elsewhere."""
    (condition, constant), index = _split(draft, node)
    if not index:
        refuse("the condition is computed; bind the mask that it starts from as a constant", node.place)
    kept = (condition != 0) == (index == 1)
    return kept.astype(np.float64), np.where(kept, 0.0, constant)


_AFFINE: Final[Mapping[str, Callable[[Draft, Node], _Pair]]] = {
    "Add": _add,
    "Div": _divide,
    "Mul": _multiply,
    "Sub": _subtract,
    "Where": _where,
}


def _batch_norm(draft: Draft, node: Node) -> _Pair:
    if not number(node, "spatial", 1):
        refuse("statistics for each pixel; normalise each channel", node.place)
    gain, bias, mean, variance = (draft.reals(node, at, "the parameters") for at in range(1, 5))
    scale = gain / np.sqrt(variance + number(node, "epsilon", 1e-5))
    trailing = (-1,) + (1,) * (len(draft.shape(node.outputs[0])) - 2)
    return scale.reshape(trailing), (bias - mean * scale).reshape(trailing)


def _scaler(draft: Draft, node: Node) -> _Pair:
    """(x - offset) * scale, for each feature or for all."""
    offset, scale = (np.array(node.attributes.get(name, (0.0,))) for name in ("offset", "scale"))
    return scale.astype(np.float64), -offset.astype(np.float64) * scale


def _imputer(draft: Draft, node: Node) -> _Pair:
    """Replaces what is not a number, which no integer is."""
    replaced = number(node, "replaced_value_float", 0.0)
    if not np.isnan(replaced):
        refuse(f"it replaces the value {replaced}; impute before the model instead", node.place)
    return _ONE, _ZERO


_NORMALISERS: Final[Mapping[str, Callable[[Draft, Node], _Pair]]] = {
    "BatchNormalization": _batch_norm,
    "Imputer": _imputer,
    "Scaler": _scaler,
}
