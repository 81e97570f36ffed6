"""Pass 4, the end of a model: what follows the scores and never changes which one is the greatest is cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from inference.converter.draft import Draft, whole
from inference.converter.program import Head, Sink
from inference.graph import Node
from inference.refusal import refuse

_LABELS: Final = frozenset({"Cast", "Flatten", "Identity", "LabelEncoder", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that only rename or reshape a class."""

_GUARD_MAX: Final = 8
"""Most nodes looked at between a sum and what is divided by it."""

_HEADS: Final = {"LogSoftmax": Head.SOFTMAX, "Sigmoid": Head.SIGMOID, "Softmax": Head.SOFTMAX}


@dataclass(frozen=True, slots=True)
class _End:
    """Where the way back from an output leads."""

    tensor: str
    head: Head = Head.NONE
    head_axis: int | None = None
    class_axis: int | None = None
    is_class: bool = False
    """Whether the output is the class itself."""


def cut(draft: Draft) -> list[Sink]:
    """The scores behind the outputs, each once, in the outputs' order. Raises Refused."""
    sinks: dict[str, Sink] = {}
    named_by_class = set()
    for port in draft.folded.graph.outputs:
        end = _walk(draft, port.name)
        if draft.producer(end.tensor) is None:
            refuse("the output does not depend on the inputs, or is one", port.name)
        sink = sinks.get(end.tensor, Sink(name=port.name, step=end.tensor))
        if end.tensor not in sinks and end.is_class:
            named_by_class.add(end.tensor)
        elif end.tensor in named_by_class and not end.is_class:
            named_by_class.discard(end.tensor)
            sink = replace(sink, name=port.name)
        axis = end.class_axis if sink.class_axis is None else sink.class_axis
        if not sink.head:
            sink = replace(sink, head=end.head, head_axis=end.head_axis)
        sinks[end.tensor] = replace(sink, class_axis=axis)
    if not sinks:
        refuse("the model has no outputs")
    return list(sinks.values())


def _walk(draft: Draft, name: str) -> _End:
    """From an output back to the scores."""
    end = _End(name)
    is_class = _leads_to_class(draft, name)
    while (node := draft.producer(end.tensor)) is not None:
        if is_class and end.class_axis is None:
            end = _before_class(draft, node, end)
        elif node.operator in ("Dropout", "Identity", "Normalizer", "ZipMap") or _is_renaming(draft, node):
            end = replace(end, tensor=node.inputs[0])
        elif _is_share(draft, node):
            end = replace(end, tensor=node.inputs[0], head_axis=1)
        elif (scores := _two_classes(draft, node)) is not None:
            return replace(end, tensor=scores, head=Head.SOFTMAX, head_axis=1)
        elif node.operator in _HEADS:
            axis = _softmax_axis(draft, node) if node.operator != "Sigmoid" else None
            return replace(end, tensor=node.inputs[0], head=_HEADS[node.operator], head_axis=axis)
        else:
            break
    return end


def _softmax_axis(draft: Draft, node: Node) -> int:
    """Older operator sets took every dimension from the second on by default."""
    rank = len(draft.shape(node.inputs[0]))
    return whole(node, "axis", 1 if draft.version < 13 else -1) % rank


def _before_class(draft: Draft, node: Node, end: _End) -> _End:
    if node.operator == "ArgMax":
        axis = whole(node, "axis", 0) % len(draft.shape(node.inputs[0]))
        if whole(node, "select_last_index", 0):
            refuse("of equal scores the last is chosen; export with select_last_index 0", node.place)
        return replace(end, tensor=node.inputs[0], class_axis=axis, is_class=True)
    return replace(end, tensor=_label_source(draft, node) or node.inputs[0])


def _label_source(draft: Draft, node: Node) -> str | None:
    """The index in a lookup of constant labels."""
    looks_up = node.operator in ("ArrayFeatureExtractor", "Gather") and node.inputs[0] in draft.constants
    return node.inputs[1] if looks_up else None


def _leads_to_class(draft: Draft, name: str) -> bool:
    """Whether an output is an ArgMax, perhaps renamed."""
    node = draft.producer(name)
    while node is not None and node.operator != "ArgMax":
        source = _label_source(draft, node)
        if source is None and node.operator in _LABELS:
            source = node.inputs[0]
        node = draft.producer(source) if source else None
    return node is not None


def _is_renaming(draft: Draft, node: Node) -> bool:
    """Whether a Cast is from one kind of reals to another."""
    reals = ("float32", "float64")
    return (
        node.operator == "Cast"
        and draft.dtype(node.inputs[0]) in reals
        and draft.dtype(node.outputs[0]) in reals
    )


def _is_share(draft: Draft, node: Node) -> bool:
    """Whether scores of classes are divided by their sum, perhaps guarded against zero."""
    if node.operator != "Div" or len(draft.shape(node.inputs[0])) != 2:
        return False
    waiting, steps = [node.inputs[1]], 0
    while waiting and steps < _GUARD_MAX:
        steps += 1
        total = draft.producer(waiting.pop())
        if total is not None and total.operator == "ReduceSum" and total.inputs[0] == node.inputs[0]:
            return draft.shape(node.inputs[1])[-1:] == (1,)
        if total is not None and total.operator in ("Add", "Cast", "Equal", "Not", "Where"):
            waiting += draft.computed(total)
    return False


def _two_classes(draft: Draft, node: Node) -> str | None:
    """For the probabilities (1 - p, p) of a sigmoid's p: new scores (0, s), whose softmax they are."""
    if node.operator != "Concat" or len(node.inputs) != 2:
        return None
    rest, sigmoid = draft.made_by(node.inputs[0], "Sub"), draft.made_by(node.inputs[1], "Sigmoid")
    if rest is None or sigmoid is None or rest.inputs[1] != node.inputs[1]:
        return None
    if len(draft.shape(node.inputs[1])) != 2:
        return None
    if draft.scalar(rest.inputs[0]) != 1:
        return None
    return with_zero(draft, sigmoid.inputs[0]).outputs[0]


def with_zero(draft: Draft, score: str) -> Node:
    """Scores of two classes, zero and the given one; reused if they exist."""
    for reader in draft.readers(score):
        if reader.operator == "Concat" and reader in draft.extension.nodes:
            return reader
    shape = draft.shape(score)
    zero = draft.constant("zero", np.zeros(shape, dtype=draft.dtype(score)))
    wide: Sequence[int] = (*shape[:-1], 2 * shape[-1])
    node = draft.extend("Concat", [zero, score], tuple(wide), {"axis": len(shape) - 1})
    draft.nodes.append(node)
    draft.index()
    return node
