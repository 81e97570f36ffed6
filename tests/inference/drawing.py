"""Random graphs over images and sequences, out of every operator that is linear or only moves elements."""

from collections.abc import Callable, Sequence
from math import prod
from random import Random

from inference.graph import AttributeValue, Node, Port
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers
from tests.inference.build import file, floats

Shape = tuple[int, ...]


class Drawing:
    """A graph in the making: tensors of float32 with their shapes, and how to go on from one of them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor] = {}
        self.shapes: dict[str, Shape] = {}
        self.count = 0

    def put(
        self, operator: str, inputs: Sequence[str], *shapes: Shape, **attributes: AttributeValue
    ) -> list[str]:
        """A node with an output of each shape."""
        names = [f"t{self.count + at}" for at in range(len(shapes))]
        self.count += len(shapes)
        self.nodes.append(Node(len(self.nodes), operator, tuple(inputs), tuple(names), attributes))
        self.shapes |= dict(zip(names, shapes, strict=True))
        return names

    def constant(self, tensor: Tensor) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = tensor
        return name

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(from_integers("int64", (len(values),), list(values)))

    def weights(self, shape: Shape, largest: int = 15) -> str:
        """Small multiples of a few steps, now and then zero."""
        values = [
            self.random.randint(-largest, largest) * 2.0 ** self.random.randint(-3, 0)
            for _ in range(prod(shape))
        ]
        return self.constant(floats(shape, values))

    def limited(self, name: str) -> str:
        """Clip, and most often Round: what models do after a sum."""
        shape = self.shapes[name]
        low, high = sorted(self.random.sample([-64, -20.5, -1, 0, 3, 17.25, 63], 2))
        limits = [self.constant(floats((), [limit])) for limit in (low, high)]
        (name,) = self.put("Clip", [name, *limits], shape)
        if self.random.random() < 0.8:
            (name,) = self.put("Round", [name], shape)
        return name

    def finished(self, dtype: str, shape: Shape) -> bytes:
        """The file: whatever is used no more is rounded and given out."""
        used = {name for node in self.nodes for name in node.inputs}
        ports = []
        for name in [name for name in self.shapes if name not in used]:
            (whole,) = self.put("Round", [name], self.shapes[name])
            (out,) = self.put("Cast", [whole], self.shapes[name], to=ELEMENT_CODES["int32"])
            ports.append(Port(out, "int32", self.shapes[name]))
        return file(self.nodes, [Port("x", dtype, shape)], ports[:64], self.constants)


def drawn(seed: int) -> bytes:
    """A graph of up to eight operators over an int8 image."""
    random = Random(seed)
    drawing = Drawing(random)
    shape = (1, random.choice([2, 4]), random.randint(3, 7), random.randint(3, 7))
    (name,) = drawing.put("Cast", ["x"], shape, to=ELEMENT_CODES["float32"])
    if random.random() < 0.5:
        channels = drawing.weights((shape[1], 1, 1), 5)
        (name,) = drawing.put(random.choice(["Mul", "Add"]), [name, channels], shape)
    for _ in range(random.randint(1, 8)):
        candidates = [known for known in drawing.shapes if prod(drawing.shapes[known]) <= 2_000]
        name = random.choice(candidates[-3:])
        made = random.choice(STEPS)(drawing, name)
        if made is not None and random.random() < 0.6:
            drawing.limited(made)
    return drawing.finished("int8", shape)


def _window(drawing: Drawing, rank: int) -> tuple[dict[str, AttributeValue], list[tuple[int, ...]]]:
    random = drawing.random
    kernel, dilations = ([random.randint(1, 3) for _ in range(rank)] for _ in range(2))
    strides = [random.randint(1, 3) for _ in range(rank)]
    pads = [random.randint(0, min(2, kernel[at % rank] - 1)) for at in range(2 * rank)]
    attributes: dict[str, AttributeValue] = {
        "kernel_shape": tuple(kernel),
        "strides": tuple(strides),
        "dilations": tuple(dilations),
        "pads": tuple(pads),
    }
    return attributes, list(zip(kernel, strides, dilations, pads[:rank], pads[rank:], strict=True))


def _conv(drawing: Drawing, name: str) -> str | None:
    shape = drawing.shapes[name]
    if len(shape) not in (3, 4):
        return None
    attributes, window = _window(drawing, len(shape) - 2)
    sizes = [
        (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        for size, (kernel, stride, dilation, before, after) in zip(shape[2:], window, strict=True)
    ]
    if min(sizes) < 1:
        return None
    group = drawing.random.choice([1, shape[1], 2 if shape[1] % 2 == 0 else 1])
    outputs = group * drawing.random.randint(1, 3)
    kernel = tuple(each[0] for each in window)
    inputs = [name, drawing.weights((outputs, shape[1] // group, *kernel))]
    if drawing.random.random() < 0.7:
        inputs.append(drawing.weights((outputs,)))
    (made,) = drawing.put("Conv", inputs, (shape[0], outputs, *sizes), group=group, **attributes)
    return made


def _conv_transpose(drawing: Drawing, name: str) -> str | None:
    shape = drawing.shapes[name]
    if len(shape) not in (3, 4) or max(shape[2:]) > 12:
        return None
    attributes, window = _window(drawing, len(shape) - 2)
    extra = [drawing.random.randint(0, stride - 1) for _, stride, _, _, _ in window]
    sizes = [
        stride * (size - 1) + more + dilation * (kernel - 1) + 1 - before - after
        for size, more, (kernel, stride, dilation, before, after) in zip(
            shape[2:], extra, window, strict=True
        )
    ]
    if min(sizes) < 1:
        return None
    group = drawing.random.choice([1, shape[1]])
    outputs = drawing.random.randint(1, 3)
    inputs = [name, drawing.weights((shape[1], outputs, *(each[0] for each in window)), 7)]
    if drawing.random.random() < 0.7:
        inputs.append(drawing.weights((outputs * group,)))
    attributes |= {"group": group, "output_padding": tuple(extra)}
    (made,) = drawing.put("ConvTranspose", inputs, (shape[0], outputs * group, *sizes), **attributes)
    return made


def _max_pool(drawing: Drawing, name: str) -> str | None:
    shape = drawing.shapes[name]
    if len(shape) not in (3, 4):
        return None
    attributes, window = _window(drawing, len(shape) - 2)
    sizes = [
        (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        for size, (kernel, stride, dilation, before, after) in zip(shape[2:], window, strict=True)
    ]
    if min(sizes) < 1:
        return None
    (made,) = drawing.put("MaxPool", [name], (*shape[:2], *sizes), **attributes)
    return made


def _reduce(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if not shape:
        return None
    axes = sorted(random.sample(range(len(shape)), random.randint(1, len(shape))))
    keep = random.randint(0, 1)
    reduced = [1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes]
    operator = random.choice(["ReduceSum", "ReduceSumSquare", "ReduceMax", "ReduceMin"])
    if operator == "ReduceSum":
        (made,) = drawing.put(operator, [name, drawing.ints(axes)], tuple(reduced), keepdims=keep)
    else:
        (made,) = drawing.put(operator, [name], tuple(reduced), keepdims=keep, axes=tuple(axes))
    return made


def _pad(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if not shape:
        return None
    pads = [random.choice([0, 0, 0, 1, 2]) for _ in range(2 * len(shape))]
    padded = tuple(pads[axis] + size + pads[len(shape) + axis] for axis, size in enumerate(shape))
    fill = drawing.constant(floats((), [random.choice([0, 0, -3.5, 2])]))
    (made,) = drawing.put("Pad", [name, drawing.ints(pads), fill], padded)
    return made


def _concat(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if not shape:
        return None
    axis = random.randrange(len(shape))
    rest = (shape[:axis], shape[axis + 1 :])
    alike = [
        other
        for other, own in drawing.shapes.items()
        if len(own) == len(shape) and (own[:axis], own[axis + 1 :]) == rest
    ]
    parts = [*random.choices(alike, k=random.randint(1, 2)), name]
    size = sum(drawing.shapes[part][axis] for part in parts)
    if random.random() < 0.3:
        more = random.randint(1, 2)
        parts.insert(0, drawing.weights((*shape[:axis], more, *shape[axis + 1 :])))
        size += more
    (made,) = drawing.put("Concat", parts, (*shape[:axis], size, *shape[axis + 1 :]), axis=axis)
    return made


def _slice(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if not shape:
        return None
    axis = random.randrange(len(shape))
    start, end = random.randint(-shape[axis], shape[axis] - 1), random.choice([2**31, shape[axis], -1])
    step = random.randint(1, 2)
    size = len(range(*slice(start, end, step).indices(shape[axis])))
    if size == 0:
        return None
    lists = [drawing.ints([each]) for each in (start, end, axis - len(shape), step)]
    (made,) = drawing.put("Slice", [name, *lists], (*shape[:axis], size, *shape[axis + 1 :]))
    return made


def _split(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    axis = next((at for at, size in enumerate(shape) if size > 1), None)
    if axis is None:
        return None
    first = random.randint(1, shape[axis] - 1)
    sizes = [first, shape[axis] - first]
    shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    return random.choice(drawing.put("Split", [name, drawing.ints(sizes)], *shapes, axis=axis))


def _gather(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if not 1 <= len(shape) <= 5:
        return None
    axis = random.randrange(len(shape))
    own = random.choice([(), (1,), (3,), (2, 2)])
    indices = [random.randint(-shape[axis], shape[axis] - 1) for _ in range(prod(own))]
    constant = drawing.constant(from_integers("int64", own, indices))
    (made,) = drawing.put("Gather", [name, constant], (*shape[:axis], *own, *shape[axis + 1 :]), axis=axis)
    return made


def _look_up(drawing: Drawing, name: str) -> str:
    """A table of 32 rows at whole numbers."""
    shape, random = drawing.shapes[name], drawing.random
    limits = [drawing.constant(floats((), [limit])) for limit in random.choice([(0, 31), (-32, 5)])]
    (name,) = drawing.put("Clip", [name, *limits], shape)
    (name,) = drawing.put("Round", [name], shape)
    kind = random.choice(["int32", "int64"])
    (name,) = drawing.put("Cast", [name], shape, to=ELEMENT_CODES[kind])
    width = random.choice([(), (3,)])
    if prod(shape) > 500 or len(shape) > 4:
        width = ()
    if len(shape) == 1 and not width:
        (made,) = drawing.put("GatherElements", [drawing.weights((32,)), name], shape, axis=0)
        del drawing.shapes[name]
        return made
    (made,) = drawing.put("Gather", [drawing.weights((32, *width)), name], (*shape, *width), axis=0)
    del drawing.shapes[name]
    return made


def _shaped(drawing: Drawing, name: str) -> str | None:
    """Transpose, Reshape, Flatten, Unsqueeze, Squeeze or Expand."""
    shape, random = drawing.shapes[name], drawing.random
    match random.randrange(6):
        case 0:
            order = random.sample(range(len(shape)), len(shape))
            made = drawing.put("Transpose", [name], tuple(shape[axis] for axis in order), perm=tuple(order))
        case 1 if len(shape) > 1:
            other = tuple(random.sample(shape, len(shape)))
            merged = random.choice([(*shape[:-2], shape[-2] * shape[-1]), other])
            made = drawing.put("Reshape", [name, drawing.ints([*merged[:-1], -1])], merged)
        case 2 if shape:
            made = drawing.put("Flatten", [name], (prod(shape[:1]), prod(shape[1:])), axis=1)
        case 3 if len(shape) < 5:
            axis = random.randrange(len(shape) + 1)
            made = drawing.put("Unsqueeze", [name, drawing.ints([axis])], (*shape[:axis], 1, *shape[axis:]))
        case 4 if 1 in shape:
            axis = shape.index(1)
            made = drawing.put("Squeeze", [name, drawing.ints([axis])], shape[:axis] + shape[axis + 1 :])
        case 5 if 0 < len(shape) < 5 and prod(shape) < 500:
            sizes = tuple(random.choice([1, 3]) if size == 1 else size for size in shape)
            sizes = (random.randint(1, 2), *sizes)
            made = drawing.put("Expand", [name, drawing.ints(sizes)], sizes)
        case _:
            return None
    return made[0]


def _resize(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if len(shape) not in (3, 4) or prod(shape) > 300:
        return None
    factors = [1, 1, *(random.choice([1, 2, 3, 5]) for _ in shape[2:])]
    (made,) = drawing.put(
        "Resize",
        [name, "", drawing.constant(floats((len(shape),), factors))],
        tuple(size * factor for size, factor in zip(shape, factors, strict=True)),
        mode=b"nearest",
        nearest_mode=b"floor",
        coordinate_transformation_mode=b"asymmetric",
    )
    return made


def _matmul(drawing: Drawing, name: str) -> str | None:
    """Constant weights on either side, with a batch or without, or the tensor times its own transpose."""
    shape, random = drawing.shapes[name], drawing.random
    if len(shape) < 2:
        return None
    batch = random.choice([(), shape[:-2]])
    size = random.randint(1, 4)
    match random.randrange(3):
        case 0:
            inputs = [name, drawing.weights((*batch, shape[-1], size))]
            made = drawing.put("MatMul", inputs, (*shape[:-1], size))
        case 1:
            inputs = [drawing.weights((*batch, size, shape[-2])), name]
            made = drawing.put("MatMul", inputs, (*shape[:-2], size, shape[-1]))
        case _:
            order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            turned = (*shape[:-2], shape[-1], shape[-2])
            (other,) = drawing.put("Transpose", [name], turned, perm=order)
            made = drawing.put("MatMul", [name, other], (*shape[:-1], shape[-2]))
    return made[0]


def _gemm(drawing: Drawing, name: str) -> str | None:
    shape, random = drawing.shapes[name], drawing.random
    if len(shape) != 2:
        return None
    size, turned = random.randint(1, 4), random.randint(0, 1)
    weights = drawing.weights((size, shape[1]) if turned else (shape[1], size))
    (made,) = drawing.put("Gemm", [name, weights, drawing.weights((size,))], (shape[0], size), transB=turned)
    return made


def _combine(drawing: Drawing, name: str) -> str:
    """With a constant that varies along one or two dimensions, or with another tensor; in either order."""
    shape, random = drawing.shapes[name], drawing.random
    operator = random.choice(["Add", "Sub", "Mul", "Max", "Min", "Add"])
    own = tuple(size if random.random() < 0.5 else 1 for size in shape)
    alike = [other for other, size in drawing.shapes.items() if _spreads(size, shape)]
    other = random.choice(alike) if random.random() < 0.5 and alike else drawing.weights(own)
    pair = [name, other] if random.random() < 0.5 else [other, name]
    (made,) = drawing.put(operator, pair, shape)
    return made


def _spreads(shape: Shape, to: Shape) -> bool:
    """Whether a tensor of one shape broadcasts to another."""
    sizes = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(size in (1, wanted) for size, wanted in sizes)


def _relu(drawing: Drawing, name: str) -> str:
    (made,) = drawing.put("Relu", [name], drawing.shapes[name])
    return made


STEPS: list[Callable[[Drawing, str], str | None]] = [
    _combine,
    _combine,
    _concat,
    _conv,
    _conv,
    _conv_transpose,
    _gather,
    _gemm,
    _look_up,
    _matmul,
    _max_pool,
    _pad,
    _reduce,
    _relu,
    _resize,
    _shaped,
    _shaped,
    _slice,
    _split,
]
