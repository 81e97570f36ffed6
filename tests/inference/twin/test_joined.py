"""What a twin joins is what its original joins: no more parts, no fewer, in the same order."""

from dataclasses import replace

import pytest

from inference.graph import AttributeValue, Node, Port, read
from inference.prover import prove
from inference.tensor import from_integers
from inference.twin.derive import twin
from inference.twin.proof import TWIN, Unequal, ensure_equal
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node
from tests.inference.twin.test_products import with_domain

ONE: dict[str, AttributeValue] = {
    "dilations": (1, 1),
    "group": 1,
    "kernel_shape": (1, 1),
    "pads": (0,) * 4,
    "strides": (1, 1),
}


def joined() -> bytes:
    """Three parts of a byte for each pixel; the last of two of them that are joined, and all three."""
    nodes = [node("Cast", "x", "real", to=TO_FLOAT)]
    constants = {
        "low": floats((), [0]),
        "high": floats((), [255]),
        "last": from_integers("int64", (1,), [-1]),
        "ahead": from_integers("int64", (1,), [0]),
    }
    for at, part in enumerate(("first", "second", "third"), 1):
        constants[f"{part} weight"] = floats((1, 1, 1, 1), [2.0**-at])
        nodes += [
            Node(0, "Conv", ("real", f"{part} weight"), (f"{part} sums",), ONE),
            Node(0, "Clip", (f"{part} sums", "low", "high"), (f"{part} limited",), {}),
            Node(0, "Round", (f"{part} limited",), (part,), {}),
        ]
    nodes += [
        node("Concat", "first second", "two", axis=1),
        node("Concat", "first second third", "three", axis=1),
        node("Gather", "two last", "chosen", axis=1),
        node("Cast", "chosen", "y", to=TO_INT32),
        node("Gather", "three ahead", "other", axis=1),
        node("Cast", "three", "z", to=TO_INT32),
        node("Cast", "other", "w", to=TO_INT32),
    ]
    ports = [Port(name, "int32", (1, parts, 2, 2)) for name, parts in (("y", 1), ("z", 3), ("w", 1))]
    return prove(file(nodes, [Port("x", "uint8", (1, 1, 2, 2))], ports, constants)).canonical


@pytest.mark.parametrize("order", [(0, 1, 2), (0,), (1, 0), (0, 0)])
def test_other_parts_are_refused(order: tuple[int, ...]) -> None:
    """The last of three parts has the shape of the last of two, but is another."""
    model = joined()
    derived = twin(model)
    assert derived is not None
    ensure_equal(model, derived)
    graph = read(derived, TWIN)
    made = [each for each in graph.nodes if each.operator.startswith("QLinear")]
    pair, every = (each for each in graph.nodes if each.operator == "Concat")
    wrong = replace(pair, inputs=tuple(every.inputs[at] for at in order))
    rest = [each for each in graph.nodes if each not in (*made, pair)]
    nodes = [replace(each, position=at) for at, each in enumerate((*made, wrong, *rest))]
    with pytest.raises(Unequal, match="no such node"):
        ensure_equal(model, with_domain(replace(graph, nodes=tuple(nodes))))


def test_another_choice_is_refused() -> None:
    """By a constant of the original, but of another of its nodes."""
    model = joined()
    derived = twin(model)
    assert derived is not None
    graph = read(derived, TWIN)
    last, ahead = (each for each in graph.nodes if each.operator == "Gather")
    wrong = replace(last, inputs=(last.inputs[0], ahead.inputs[1]))
    nodes = tuple(wrong if each is last else each for each in graph.nodes)
    with pytest.raises(Unequal, match="no such node"):
        ensure_equal(model, with_domain(replace(graph, nodes=nodes)))
