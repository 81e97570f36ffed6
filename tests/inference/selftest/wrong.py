"""Engines that compute wrongly, each in one way that some real one has, or could have."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from inference.engines.interface import Array, InferenceEngine, LoadedModel, from_array, to_array
from inference.engines.operations.operation import Attributes, Operation, integer
from inference.engines.operations.registry import OPERATIONS
from inference.engines.reference import NumpyEngine
from inference.tensor import Tensor
from inference.twin.derive import twin
from tests.inference.twin.quantized import fours_product, quantized

LINEAR: Final = ("Conv", "Gemm", "MatMul")

Round = Callable[[Array], Array]


def to_bits(bits: int) -> Round:
    """To the nearest float with so many bits of significand."""

    def rounded(array: Array) -> Array:
        mantissa, exponent = np.frexp(array)
        return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits), array.dtype)

    return rounded


def half(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def with_operands(rounded: Round) -> NumpyEngine:
    """Both operands of every product lose bits first; the bias does not."""

    def wrong(operation: Operation) -> Operation:
        return lambda inputs, attributes: operation(
            [*(rounded(each) for each in inputs[:2]), *inputs[2:]], attributes
        )

    return NumpyEngine({**OPERATIONS, **{name: wrong(OPERATIONS[name]) for name in LINEAR}})


def with_sums(rounded: Round) -> NumpyEngine:
    """The sum of products is kept in fewer bits: rounded after each of four parts."""

    def matmul(inputs: Sequence[Array], _: Attributes) -> Array:
        total = np.zeros((*inputs[0].shape[:-1], inputs[1].shape[-1]), np.float32)
        for part in np.array_split(np.arange(inputs[0].shape[-1]), 4):
            total = rounded(total + inputs[0][..., part] @ inputs[1][..., part, :])
        return total

    return NumpyEngine({**OPERATIONS, "MatMul": matmul})


def with_results(operator: str, change: Round) -> NumpyEngine:
    """What one operator computes is changed."""
    operation = OPERATIONS[operator]

    def wrong(inputs: Sequence[Array], attributes: Attributes) -> Array:
        result = operation(inputs, attributes)
        assert not isinstance(result, tuple)
        return change(result)

    return NumpyEngine({**OPERATIONS, operator: wrong})


def half_away(array: Array) -> Array:
    """The nearest integers, halves away from zero."""
    return np.copysign(np.floor(np.abs(array) + np.float32(0.5)), array)


def flushed(array: Array) -> Array:
    """Small numbers are taken for zero."""
    return np.where(np.abs(array) < 1e-9, 0, array).astype(array.dtype)


def rounding_away() -> NumpyEngine:
    return NumpyEngine({**OPERATIONS, "Round": lambda inputs, _: half_away(inputs[0])})


def by_inverse() -> NumpyEngine:
    """a / b as a * (1 / b)."""
    return NumpyEngine({**OPERATIONS, "Div": lambda inputs, _: inputs[0] * (np.float32(1) / inputs[1])})


def wide_products() -> NumpyEngine:
    """Products in double precision, until they are rounded."""
    return NumpyEngine({**OPERATIONS, "Mul": lambda inputs, _: inputs[0].astype(np.float64) * inputs[1]})


def in_single() -> NumpyEngine:
    """Roots of doubles in single precision."""

    def root(inputs: Sequence[Array], _: Attributes) -> Array:
        return np.sqrt(inputs[0].astype(np.float32)).astype(inputs[0].dtype)

    return NumpyEngine({**OPERATIONS, "Sqrt": root})


# Winograd's F(2, 3). Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 4.1.
_INPUT: Final = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
_KERNEL: Final = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_OUTPUT: Final = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)


def winograd() -> NumpyEngine:
    """Convolutions of 3x3 at stride 1 in float32, four outputs at a time from tiles of 4x4."""

    def conv(inputs: Sequence[Array], attributes: Attributes) -> Array | tuple[Array, ...]:
        x, w = inputs[0], inputs[1]
        plain = all(attributes[name] == (1, 1) for name in ("strides", "dilations"))
        if w.shape[2:] != (3, 3) or not plain or integer(attributes, "group", 1) != 1:
            return OPERATIONS["Conv"](inputs, attributes)
        high, wide = x.shape[2:]
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1 + high % 2), (1, 1 + wide % 2)])
        kernels = _KERNEL @ w @ _KERNEL.T
        y = np.zeros((x.shape[0], w.shape[0], high + high % 2, wide + wide % 2), np.float32)
        for row in range(0, high, 2):
            for column in range(0, wide, 2):
                tile = _INPUT @ padded[:, :, row : row + 4, column : column + 4] @ _INPUT.T
                sums = np.einsum("ncij,ocij->noij", tile, kernels)
                y[:, :, row : row + 2, column : column + 2] = _OUTPUT @ sums @ _OUTPUT.T
        return y[:, :, :high, :wide] + inputs[2].reshape(-1, 1, 1)

    return NumpyEngine({**OPERATIONS, "Conv": conv})


class Saturating:
    """An int8 twin on kernels that add four products in 16 bits."""

    def load(self, model: bytes) -> LoadedModel:
        derived = twin(model)
        return NumpyEngine().load(model) if derived is None else quantized(fours_product).load(derived)


Answers = tuple[Tensor, ...]
Spoil = Callable[[Answers, Answers], Answers]
"""From what is right, and the answers before, to what is wrong."""


class Spoiled:
    """A sound engine whose answers are spoiled on their way."""

    def __init__(self, spoil: Spoil) -> None:
        self._spoil = spoil
        self._before: Answers = ()

    def load(self, model: bytes) -> "SpoiledModel":
        return SpoiledModel(NumpyEngine().load(model), self)

    def spoil(self, answers: Answers) -> Answers:
        """What the engine says instead."""
        before, self._before = self._before or answers, answers
        return self._spoil(answers, before)


class SpoiledModel:
    def __init__(self, sound: LoadedModel, engine: Spoiled) -> None:
        self._sound, self._engine = sound, engine

    def run(self, inputs: Sequence[Tensor]) -> Answers:
        return self._engine.spoil(self._sound.run(inputs))


def _each(change: Round) -> Spoil:
    return lambda answers, _: tuple(from_array(change(to_array(each))) for each in answers)


def _one_bit(array: Array) -> Array:
    """The lowest bit of the last element of large tensors."""
    changed = array.copy()
    if array.size > 100:
        changed.flat[-1] ^= 1
    return changed


def _stale(answers: Answers, before: Answers) -> Answers:
    """The answers before these, where they fit."""
    shapes = [[each.shape for each in some] for some in (answers, before)]
    return before if shapes[0] == shapes[1] else answers


def _mixed(array: Array) -> Array:
    """The first dimension turned around."""
    return array[::-1]


WRONG: Final[Mapping[str, tuple[InferenceEngine, str]]] = {
    "bf16 operands": (with_operands(to_bits(8)), "sums of 1"),
    "TF32 operands": (with_operands(to_bits(11)), "sums of 1"),
    "float16 operands": (with_operands(half), "sums of 1"),
    "sums in float16": (with_sums(half), "sums of 1"),
    "sums of 23 bits": (with_sums(to_bits(23)), "sums of 1"),
    "convolutions of 23 bits": (with_results("Conv", to_bits(23)), "pointwise convolution at the bound"),
    "long sums of 23 bits": (with_results("ReduceSum", to_bits(23)), "a long sum"),
    "squares of 24 bits": (with_results("ReduceSumSquare", to_bits(24)), "a long sum of squares"),
    "Winograd": (winograd(), "3x3 convolution at the bound"),
    "products in float64": (wide_products(), "products"),
    "division by inverses": (by_inverse(), "quotients"),
    "single roots": (in_single(), "roots"),
    "halves away from zero": (rounding_away(), "bytes to bytes, 2 terms"),
    "small numbers flushed": (with_results("Mul", flushed), "small numbers"),
    "saturating int8": (Saturating(), "bytes to bytes, 64 terms"),
    "one bit": (Spoiled(_each(_one_bit)), "pointwise convolution at the bound"),
    "outputs swapped": (Spoiled(lambda answers, _: answers[::-1]), "classes"),
    "stale": (Spoiled(_stale), "sums of 1"),
    "rows mixed": (Spoiled(_each(_mixed)), "rows"),
    "flat": (Spoiled(_each(lambda array: array.reshape(-1))), "sums of 1"),
    "not a number": (Spoiled(_each(lambda array: np.full(array.shape, np.nan, np.float32))), "sums of 1"),
    "an output too few": (Spoiled(lambda answers, _: answers[1:]), "sums of 1"),
}
"""What is wrong, and the first vector that must show it."""
