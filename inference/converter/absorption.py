"""Pass 5: constant scales and offsets melt into the linear step before or after them, and what does nothing
goes.
"""

from dataclasses import replace

import numpy as np

from inference.converter.draft import Draft
from inference.converter.melting import melted_after, melted_before
from inference.converter.program import (
    MASKED,
    Combination,
    Combine,
    Constant,
    Form,
    Map,
    Matrix,
    Move,
    Movement,
    Shape,
    Sink,
    Softmax,
    Step,
    Table,
    Trees,
)
from inference.converter.regions import affine
from inference.refusal import refuse


def absorb(draft: Draft, steps: list[Step], sinks: list[Sink]) -> tuple[list[Step], list[Sink]]:
    """Fewer steps that compute the same. Raises Refused for masks that are not in front of a softmax."""
    pool = _Pool(draft, steps, sinks)
    changed = True
    while changed:
        changed = False
        for name in list(pool.steps):
            # A step may have gone since the list was made.
            if name in pool.steps:
                changed |= _simplify(pool, pool.steps[name])
    pool.ensure_finite()
    return pool.result()


class _Pool:
    """Steps by name, and who reads them."""

    def __init__(self, draft: Draft, steps: list[Step], sinks: list[Sink]) -> None:
        self._draft = draft
        self._order = {step.name: at for at, step in enumerate(steps)}
        self.steps = {step.name: step for step in steps}
        self._sinks = sinks
        self._readers: dict[str, list[str]] = {}
        self._complements: dict[str, str] = {}
        for step in steps:
            self._register(step)

    def _register(self, step: Step) -> None:
        for name in step.inputs:
            self._readers.setdefault(name, []).append(step.name)

    def _forget(self, step: Step) -> None:
        for name in step.inputs:
            self._readers[name].remove(step.name)
        del self.steps[step.name]

    def shape(self, name: str) -> Shape:
        return self.steps[name].shape if name in self.steps else self._draft.shape(name)

    def is_sink(self, name: str) -> bool:
        return any(sink.step == name for sink in self._sinks)

    def readers(self, name: str) -> list[str]:
        return self._readers.get(name, [])

    def only_read_by(self, name: str, reader: str) -> bool:
        return self.readers(name) == [reader] and not self.is_sink(name)

    def put(self, step: Step) -> None:
        """In the place of the one with the same name."""
        self._forget(self.steps[step.name])
        self.steps[step.name] = step
        self._register(step)

    def drop(self, name: str) -> None:
        """Unless somebody needs it."""
        if name in self.steps and not self.readers(name) and not self.is_sink(name):
            step = self.steps[name]
            self._forget(step)
            for source in step.inputs:
                self.drop(source)

    def complement(self, mask: Map) -> str:
        """A step 1 - x for the input x of a map."""
        source = mask.inputs[0]
        if source in self._complements:
            return self._complements[source]
        floats = self._draft.extend("Cast", [source], self.shape(source), {"to": 1}).outputs[0]
        one = self._draft.constant("one", np.ones((), dtype=np.float32))
        name = self._draft.extend("Sub", [one, floats], self.shape(source)).outputs[0]
        step = affine(name, source, self._draft, -np.ones(()), np.ones(()))
        self._order[name] = self._order[mask.name]
        self.steps[name] = step
        self._register(step)
        self._complements[source] = name
        return name

    def chooses_rows(self, name: str) -> bool:
        """Whether a tensor follows from whole numbers that choose rows: those are no zeros and ones."""
        readers = self.readers(self.whole_source(name))
        return any(isinstance(self.steps[reader], Table) for reader in readers)

    def bypass(self, step: Step) -> bool:
        """Let the readers of a step read its input instead. Says whether that was possible."""
        source = step.inputs[0]
        if self.is_sink(step.name) and source not in self.steps:
            return False
        for reader in list(self.readers(step.name)):
            if reader in self.steps and step.name in self.steps[reader].inputs:
                inputs = tuple(source if each == step.name else each for each in self.steps[reader].inputs)
                self.put(replace(self.steps[reader], inputs=inputs))
        self._sinks = [replace(sink, step=source) if sink.step == step.name else sink for sink in self._sinks]
        self.drop(step.name)
        return True

    def ensure_finite(self) -> None:
        """Raises Refused for a mask that no softmax took, or that is an input."""
        for step in self.steps.values():
            if isinstance(step, Map) and not (
                np.isfinite(step.scale).all() and np.isfinite(step.offset).all()
            ):
                refuse("an infinite constant is added that is no mask in front of a softmax", step.name)
            if isinstance(step, Softmax):
                self._ensure_no_computed_mask(step)

    def _ensure_no_computed_mask(self, step: Softmax) -> None:
        added = self.steps.get(step.inputs[0])
        if not isinstance(added, Combine) or added.combination is not Combination.ADD:
            return
        for name in added.inputs:
            source = self.whole_source(name)
            if source:
                refuse("this attention mask is not understood; bind it as a constant, as of ones", source)

    def is_whole(self, name: str) -> bool:
        return self._draft.dtype(name) not in ("float32", "float64")

    def whole_source(self, name: str) -> str:
        """The input of whole numbers that a tensor only maps, moves and multiplies by constants, if any."""
        while (step := self.steps.get(name)) is not None:
            computed = [each for each in step.inputs if not isinstance(self.steps.get(each), Constant)]
            if len(computed) != 1 or not isinstance(step, Combine | Map | Move):
                return ""
            name = computed[0]
        if name in self.steps or self._draft.dtype(name) in ("float32", "float64"):
            return ""
        return name

    def result(self) -> tuple[list[Step], list[Sink]]:
        """In the order in which the exporter had them."""
        ordered = sorted(self.steps.values(), key=lambda step: self._order[step.name])
        return ordered, self._sinks


def _simplify(pool: _Pool, step: Step) -> bool:
    """Whether something was changed around a step."""
    if _does_nothing(pool, step):
        return pool.bypass(step)
    if isinstance(step, Move):
        return _shorten(pool, step)
    if isinstance(step, Softmax):
        return _mask(pool, step)
    if not isinstance(step, Map) or step.form is not Form.AFFINE:
        return False
    before = pool.steps.get(step.inputs[0])
    if before is not None and pool.only_read_by(before.name, step.name):
        merged = melted_after(before, step)
        if merged is not None:
            pool.put(replace(merged, name=step.name, shape=step.shape))
            pool.drop(before.name)
            return True
    changed = False
    for reader in dict.fromkeys(pool.readers(step.name)):
        taken = melted_before(pool.steps[reader], step)
        if taken is not None:
            pool.put(taken)
            changed = True
    pool.drop(step.name)
    return changed


def _mask(pool: _Pool, step: Softmax) -> bool:
    """Scores plus a function of an input of zeros and ones that is hugely negative for one of them."""
    added = pool.steps.get(step.inputs[0])
    if not isinstance(added, Combine) or added.combination is not Combination.ADD or len(step.inputs) > 1:
        return False
    for scores, name in (added.inputs, added.inputs[::-1]):
        mask = pool.steps.get(name)
        if not isinstance(mask, Map) or mask.scale.size > 1 or mask.offset.size > 1:
            continue
        if added.shape != pool.shape(scores) or not pool.whole_source(name) or pool.chooses_rows(name):
            continue
        zero, one = mask.evaluate(np.array([0.0, 1.0]) * mask.scale + mask.offset)
        if abs(one) < 1e-3 and zero <= MASKED:
            kept = _unspread(pool, mask.inputs[0])
        elif abs(zero) < 1e-3 and one <= MASKED:
            kept = pool.complement(mask)
        else:
            continue
        pool.put(replace(step, inputs=(scores, kept)))
        pool.drop(added.name)
        return True
    return False


def _unspread(pool: _Pool, name: str) -> str:
    """Before it was repeated along axes of size 1, as broadcasting does by itself."""
    while isinstance(step := pool.steps.get(name), Move) and step.movement is Movement.GATHER:
        shape = pool.shape(step.inputs[0])
        if len(shape) != len(step.shape) or shape[step.arguments["axis"][0]] != 1:
            break
        name = step.inputs[0]
    return name


def _does_nothing(pool: _Pool, step: Step) -> bool:
    if isinstance(step, Map):
        source = step.inputs[0]
        whole = pool.is_whole(step.name) and pool.is_whole(source)
        if whole and step.scale.size == 1 and not pool.chooses_rows(step.name):
            # A mask becomes Boolean; its numbers were zeros and ones before.
            values = np.array([0.0, 1.0])
            return bool((step.evaluate(values * step.scale + step.offset) == values).all())
        return (
            step.form is Form.AFFINE
            and bool((step.scale == 1).all() and (step.offset == 0).all())
            and pool.shape(step.inputs[0]) == step.shape
        )
    if not isinstance(step, Move) or len(step.inputs) > 1 or pool.shape(step.inputs[0]) != step.shape:
        return False
    if step.movement is Movement.TRANSPOSE:
        return step.arguments["perm"] == tuple(range(len(step.shape)))
    if step.movement is Movement.GATHER:
        return _all_of(step.shape, step)
    return step.movement is not Movement.PAD or not any(step.arguments["pads"])


def _all_of(shape: Shape, step: Move) -> bool:
    """Whether a gathering takes a whole axis, in its order."""
    return step.arguments["indices"] == tuple(range(shape[step.arguments["axis"][0]]))


def _shorten(pool: _Pool, step: Move) -> bool:
    """Reshape of a reshape; zero beside a score, for two classes."""
    before = pool.steps.get(step.inputs[-1])
    if step.movement is Movement.GATHER and _all_of(pool.shape(step.inputs[0]), step):
        pool.put(replace(step, movement=Movement.RESHAPE, arguments={}))
        return True
    if before is None or not pool.only_read_by(before.name, step.name):
        return False
    if step.movement is Movement.RESHAPE and isinstance(before, Move):
        if before.movement is not Movement.RESHAPE:
            return False
        pool.put(replace(step, inputs=before.inputs))
        pool.drop(before.name)
        return True
    if step.movement is not Movement.CONCAT or len(step.inputs) != 2:
        return False
    zero = pool.steps.get(step.inputs[0])
    at_end = step.arguments["axis"] == (len(step.shape) - 1,)
    if not isinstance(zero, Constant) or zero.values.any() or not at_end:
        return False
    widened = _widened(before)
    if widened is not None:
        pool.put(replace(widened, name=step.name, shape=step.shape))
        pool.drop(before.name)
        pool.drop(zero.name)
    return widened is not None


def _widened(step: Step) -> Step | None:
    """With as many outputs again in front, all zero."""
    if isinstance(step, Matrix):
        return replace(
            step,
            weights=np.concatenate([np.zeros_like(step.weights), step.weights], axis=1),
            bias=np.concatenate([np.zeros_like(step.bias), step.bias]),
        )
    if isinstance(step, Trees):
        count = len(step.base)
        base = np.concatenate([np.zeros(count), step.base])
        return replace(step, leaf_outputs=step.leaf_outputs + count, base=base)
    return None
