"""Random convolutional networks with codes of bytes in most places, as a converter makes them for int8."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from inference.graph import AttributeValue, Node, Port
from inference.prover import prove
from inference.tensor import Tensor, from_integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node

LIMITS = ((0, 255), (0, 255), (-128, 127), (-5, 90), (0, 6), (0, 300))

NEAREST: dict[str, AttributeValue] = {
    "coordinate_transformation_mode": b"asymmetric",
    "mode": b"nearest",
    "nearest_mode": b"floor",
}


class Network:
    """In the making: `top` is a float tensor of integers, [1, channels, size, size]."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor] = {}
        self.channels, self.size = self.random.choice([1, 3, 4]), self.random.choice([5, 6, 8])
        self.top = "x0"
        self.earlier: list[tuple[str, int, int]] = []

    def name(self, part: str) -> str:
        return f"{part}{len(self.nodes)}"

    def constant(self, values: Sequence[float], shape: Sequence[int] = ()) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = floats(shape, values)
        return name

    def limited(self, name: str) -> None:
        """Clip and Round in either order, now and then with a Relu, to one of the limits."""
        low, high = self.random.choice(LIMITS)
        steps = ["Clip", "Round"] if self.random.random() < 0.8 else ["Round", "Clip"]
        if low == 0 and self.random.random() < 0.3:
            steps.insert(self.random.randrange(3), "Relu")
        for step in steps:
            inputs = f"{name} {self.constant([low])} {self.constant([high])}" if step == "Clip" else name
            name = self.name("l")
            self.nodes.append(node(step, inputs, name))
        self.top = name
        self.earlier.append((self.top, self.channels, self.size))

    def linear(self, outputs: int, shape: Sequence[int], terms: int) -> str:
        """Weights of seven bits, now and then of more, and a bias; all with a step per output channel."""
        largest = 64 if self.random.random() < 0.9 else 65
        steps = [2.0 ** -self.random.randint(3, 9) for _ in range(outputs)]
        weights = [self.random.randint(-largest, largest) * step for step in steps for _ in range(terms)]
        bias = [self.random.randint(-3000, 3000) * step for step in steps]
        return f"{self.constant(weights, shape)} {self.constant(bias, (outputs,))}"

    def conv(self) -> None:
        kernel, stride = self.random.choice([1, 3, 3]), self.random.choice([1, 1, 2])
        depthwise = self.random.random() < 0.3
        outputs = self.channels if depthwise else self.random.choice([2, 4, 8])
        inner = 1 if depthwise else self.channels
        numbers = self.linear(outputs, (outputs, inner, kernel, kernel), inner * kernel**2)
        name, pad = self.name("s"), kernel // 2
        self.nodes.append(
            node(
                "Conv",
                f"{self.top} {numbers}",
                name,
                dilations=(1, 1),
                group=self.channels if depthwise else 1,
                kernel_shape=(kernel, kernel),
                pads=(pad,) * 4,
                strides=(stride, stride),
            )
        )
        self.channels, self.size = outputs, (self.size - 1) // stride + 1
        self.limited(name)

    def pool(self) -> None:
        if self.size >= 2:
            window = {"dilations": (1, 1), "kernel_shape": (2, 2), "pads": (0,) * 4, "strides": (1, 1)}
            name = self.name("m")
            self.nodes.append(node("MaxPool", self.top, name, **window))
            self.top, self.size = name, self.size - 1

    def moved(self) -> None:
        """Channels in another order, some of them twice; each pixel as four; or one part of two."""
        kind, channels = self.random.choice(["Gather", "Resize", "Split"]), self.channels
        name = self.name("v")
        if kind == "Gather":
            chosen = [self.random.randrange(-channels, channels) for _ in range(self.random.randint(1, 6))]
            index = self.integers(chosen)
            self.nodes.append(node("Gather", f"{self.top} {index}", name, axis=1))
            self.channels = len(chosen)
        elif kind == "Resize" and self.size <= 6:
            scales = self.constant([1, 1, 2, 2], (4,))
            self.nodes.append(node("Resize", f"{self.top} - {scales}", name, **NEAREST))
            self.size *= 2
        elif channels > 1:
            parts = self.integers([1, channels - 1])
            made = node("Split", f"{self.top} {parts}", name, axis=1)
            self.nodes.append(replace(made, outputs=(f"{name}first", name)))
            self.channels -= 1
        else:
            return
        self.top = name

    def integers(self, values: list[int]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = from_integers("int64", (len(values),), values)
        return name

    def add(self) -> None:
        """An earlier tensor of the same shape."""
        alike = [name for name, *shape in self.earlier[:-1] if shape == [self.channels, self.size]]
        if alike:
            name = self.name("a")
            self.nodes.append(node("Add", f"{self.top} {self.random.choice(alike)}", name))
            self.limited(name)

    def joined(self) -> None:
        """Next to an earlier tensor of the same size."""
        alike = [(name, channels) for name, channels, size in self.earlier[:-1] if size == self.size]
        if alike:
            (other, channels), name = self.random.choice(alike), self.name("j")
            self.nodes.append(node("Concat", f"{self.top} {other}", name, axis=1))
            self.top, self.channels = name, self.channels + channels


def network(seed: int) -> bytes:
    """The canonical file of one."""
    made = Network(seed)
    dtype = made.random.choice(["uint8", "uint8", "int8"])
    x = Port("x", dtype, (1, made.channels, made.size, made.size))
    made.nodes.append(node("Cast", "x", "x0", to=TO_FLOAT))
    for _ in range(made.random.randint(2, 8)):
        steps = [made.conv, made.conv, made.conv, made.pool, made.add, made.joined, made.moved]
        made.random.choice(steps)()
    terms = made.channels * made.size**2
    made.constants["flat"] = from_integers("int64", (2,), [1, -1])
    made.nodes.append(node("Reshape", f"{made.top} flat", "flattened"))
    numbers = made.linear(5, (5, terms), terms)
    made.nodes += [
        node("Gemm", f"flattened {numbers}", "scores", transB=1),
        node("Round", "scores", "rounded"),
        node("Cast", "rounded", "y", to=TO_INT32),
    ]
    return prove(file(made.nodes, [x], [Port("y", "int32", (1, 5))], made.constants)).canonical
