"""From the bytes of a float model to a `Program`: passes 1 to 7 of the conversion.

Nothing here needs to be trusted: what the back end makes of a program is proved from its own bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from inference.converter import features, heads, idioms, learners, movements, pipelines, resizing, weighted
from inference.converter.absorption import absorb
from inference.converter.draft import Draft
from inference.converter.fold import FoldedGraph, fold
from inference.converter.program import Program, Sink, Source, Step
from inference.converter.regions import REALS, Regions, Role
from inference.engines.interface import Array
from inference.graph import Node
from inference.refusal import refuse
from inference.schema import ELEMENT_CODES

Handler = Callable[[Draft, Node], list[Step]]

_HANDLERS: Final[Mapping[str, Handler]] = {
    **movements.HANDLERS,
    **resizing.HANDLERS,
    **weighted.HANDLERS,
    **pipelines.HANDLERS,
    "TreeEnsembleRegressor": learners.trees,
}


def understand(
    data: bytes,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> Program:
    """What a float model computes. `shapes` gives open dimensions a size, `constants` inputs a fixed value.

    The same arguments give the same program in every process. Raises Refused, naming the node and what to
    change; EngineError if this machine failed.
    """
    return interpret(fold(data, shapes, constants))


def interpret(folded: FoldedGraph) -> Program:
    """What a folded float model computes. Raises Refused."""
    draft = Draft(folded)
    pipelines.respell(draft)
    learners.respell(draft)
    idioms.respell(draft)
    sinks = heads.cut(draft)
    chosen = features.choose(draft, _steps(draft, [sink.step for sink in sinks]))
    steps, sinks = absorb(draft, chosen, sinks)
    return _program(draft, (features.gather(draft, steps, sinks), sinks))


def _steps(draft: Draft, targets: Sequence[str]) -> list[Step]:
    """The steps that compute the targets."""
    nodes = needed(draft, targets)
    regions = Regions(draft, nodes)
    if _gates(draft, regions, nodes):
        nodes = needed(draft, targets)
        regions = Regions(draft, nodes)
    demanded = set(targets)
    for node in nodes:
        if regions.role(node) is not Role.FUNCTION:
            demanded.update(draft.computed(node))
    stops = demanded | {
        name for node in nodes if regions.role(node) is not Role.FUNCTION for name in node.outputs
    }
    steps: list[Step] = []
    for node in nodes:
        match regions.role(node):
            case Role.FUNCTION:
                if node.outputs[0] in demanded:
                    steps += regions.function(node.outputs[0], stops)
            case Role.AFFINE:
                steps.append(regions.affine(node))
            case Role.COMBINE:
                steps += regions.combine(node)
            case Role.OTHER:
                steps += _handled(draft, node)
    return steps


def _handled(draft: Draft, node: Node) -> list[Step]:
    handler = _HANDLERS.get(node.operator)
    if handler is None:
        refuse("this operator has no exact form here", node.place)
    return handler(draft, node)


def needed(draft: Draft, targets: Sequence[str]) -> list[Node]:
    """The nodes that the targets depend on, in order."""
    wanted, nodes = set(targets), []
    for node in reversed(draft.nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(draft.computed(node))
            nodes.append(node)
    return nodes[::-1]


def _gates(draft: Draft, regions: Regions, nodes: Sequence[Node]) -> bool:
    """x + x * g becomes x * (1 + g): a product and a sum less. Says whether there was one."""
    found = False
    for node in nodes:
        if node.operator != "Add" or regions.role(node) is not Role.COMBINE:
            continue
        for x, product in (node.inputs, node.inputs[::-1]):
            times = draft.made_by(product, "Mul")
            if times is None or x not in times.inputs or regions.role(times) is not Role.COMBINE:
                continue
            gate = times.inputs[1 - times.inputs.index(x)]
            if gate in draft.constants or draft.shape(x) != draft.shape(node.outputs[0]):
                continue
            one = draft.constant("one", np.ones((), dtype=draft.dtype(gate)))
            more = draft.extend("Add", [gate, one], draft.shape(gate))
            draft.replace(node, [more, replace(node, operator="Mul", inputs=(x, more.outputs[0]))])
            found = True
            break
    return found


def _without_booleans(draft: Draft, steps: list[Step]) -> list[Step]:
    """Results that are Booleans in the file get a name under which they are numbers."""
    renamed = {
        step.name: draft.extend("Cast", [step.name], step.shape, {"to": ELEMENT_CODES["float32"]}).outputs[0]
        for step in steps
        if draft.dtype(step.name) == "bool"
    }
    return [
        replace(
            step,
            name=renamed.get(step.name, step.name),
            inputs=tuple(renamed.get(name, name) for name in step.inputs),
        )
        for step in steps
    ]


def _program(draft: Draft, understood: tuple[list[Step], list[Sink]]) -> Program:
    steps, sinks = understood
    steps = [replace(step, whole=draft.dtype(step.name) not in REALS) for step in steps]
    steps = _without_booleans(draft, steps)
    names = {step.name for step in steps}
    sources = []
    for port in draft.folded.graph.inputs:
        used = any(port.name in step.inputs for step in steps)
        if not used:
            refuse("the outputs do not depend on this input; bind it as a constant", port.name)
        sources.append(Source(name=port.name, dtype=port.dtype, shape=draft.shape(port.name)))
        names.add(port.name)
    for step in steps:
        if 0 in step.shape:
            refuse("this tensor has no elements", step.name)
        for name in step.inputs:
            if name not in names:
                refuse("what this tensor holds cannot be made exact where it is used", name)
    outputs = [step.name for step in steps]
    return Program(
        sources=tuple(sources),
        steps=tuple(steps),
        sinks=tuple(sinks),
        folded=draft.extension.file(draft.folded.file, draft.folded.graph, outputs),
        unprotected=draft.folded.unprotected,
    )
