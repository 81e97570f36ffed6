"""From a file to a certificate of exactness, or to a refusal that names the node and the reason.

A pure function of the file's bytes: Python integers only, limits that are counts, no library that reads ONNX.
So validators can vote on its verdict. Order: size and allow-list on the raw bytes, wiring, then for each node
its shape and the bounds of its elements, then the canonical rebuild.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

from inference import canonical
from inference.bounds import Bounds, Cell
from inference.certificate import (
    VERDICT_BYTES_MAX,
    Assumption,
    ExactnessCertificate,
    Gap,
    PortSpec,
    Verdict,
    encode_verdict,
    run_gas,
)
from inference.graph import MODEL_BYTES_MAX, AttributeValue, Graph, Node, Port, ensure_size, read
from inference.operators.costs import handling
from inference.operators.integers import RANKING
from inference.operators.registry import EXACT, RULES
from inference.operators.rule import ADJUSTING, Application, Flow, Value, Work, complete, work_on
from inference.refusal import Refused, refuse
from inference.scales import declared, ensure_known
from inference.tensor import INTEGER_RANGES
from primitives.hashing import blake2b_256

PEAK_BYTES_MAX: Final = 1 << 30
"""Most memory that one run may take by the proof's account; a worker's limit lies above it."""

OUTPUT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Most bytes of the outputs of one run: a worker must be able to return them, in twice that at most."""

INPUT_TYPES: Final = ("uint8", "int8", "int16", "int32")
OUTPUT_TYPES: Final = ("uint8", "int8", "int16", "int32", "int64")


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate together with the canonical file that it is about."""

    certificate: ExactnessCertificate
    canonical: bytes


def prove(data: bytes, assumption: Assumption | None = None) -> Proof:
    """Raises Refused, and nothing else, whatever the bytes are. Without an assumption, functions that differ
    between libraries are refused."""
    return examine(data, assumption)[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the proof found of one node."""

    node: Node
    values: tuple[Value, ...]
    """Its outputs."""

    entering: Value
    """Its first input that is computed."""

    macs: int
    elements: int
    gas: int
    """What it adds to the gas of a run, but for the bytes of its constants."""


def examine(data: bytes, assumption: Assumption | None = None) -> tuple[Proof, tuple[Finding, ...]]:
    """The proof, and how it came to it, node by node. Raises Refused."""
    graph = read(data, EXACT)
    _ensure_wiring(graph)
    work = work_on(len(data))
    work.ulps = assumption.ulps if assumption else None
    prover = _Prover(graph, work)
    return prover.prove(), tuple(prover.findings)


def verdict(data: bytes, assumption: Assumption | None = None) -> Verdict:
    """What a validator says of the file: its certificate, or why there is none."""
    try:
        return prove(data, assumption).certificate
    except Refused as refused:
        return refused.refusal


def _ensure_wiring(graph: Graph) -> None:
    """Each name has one origin, which comes before its uses; nothing is computed or taken for nothing."""
    if not graph.inputs or not graph.outputs or not graph.nodes:
        refuse("the graph lacks inputs, outputs or nodes")
    origins = [port.name for port in graph.inputs] + list(graph.constants)
    known, computed = set(origins), {port.name for port in graph.inputs}
    if "" in known or len(known) != len(origins):
        refuse("an input has no name, or one that a constant or another input has")
    used: set[str] = set()
    for node in graph.nodes:
        if len(set(node.outputs) - known) != len(node.outputs):
            refuse("a node's outputs must have names of their own", node.place)
        for name in node.inputs:
            if name and name not in known:
                refuse(f"input {name[:80]!r} is not computed before", node.place)
        known.update(node.outputs)
        computed.update(node.outputs)
        used.update(node.inputs)
    _ensure_ends(graph, computed, used)


def _ensure_ends(graph: Graph, computed: set[str], used: set[str]) -> None:
    """Every output is computed; every input, and an output of every node, is an output or used."""
    outputs = [port.name for port in graph.outputs]
    for name in outputs:
        if name not in computed or outputs.count(name) > 1:
            refuse(f"the output {name[:80]!r} is given twice, or computed nowhere")
    for port in graph.inputs:
        if port.name in outputs:
            refuse("an input is an output", port.name)
    used |= set(outputs)
    for names in [(port.name,) for port in graph.inputs] + [node.outputs for node in graph.nodes]:
        if used.isdisjoint(names):
            refuse(f"nothing uses {names[0][:80]!r}")


@dataclass(slots=True)
class _Prover:
    """One proof in progress."""

    graph: Graph
    work: Work
    values: dict[str, Value] = field(default_factory=dict)
    attributes: dict[int, dict[str, AttributeValue]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def prove(self) -> Proof:
        for port in self.graph.inputs:
            self.values[port.name] = _input(port)
        for name, tensor in self.graph.constants.items():
            self.values[name] = Value(tensor.dtype, tensor.shape, Bounds(()), tensor)
        for node in self.graph.nodes:
            self._apply(node)
        ensure_known(self.graph.metadata, [port.name for port in (*self.graph.inputs, *self.graph.outputs)])
        outputs = tuple(self._output(port) for port in self.graph.outputs)
        self._ensure_portable()
        inputs = tuple(self._port(port, self._entering(port)) for port in self.graph.inputs)
        attested = self._attested()
        file = canonical.rebuild(self.graph, self.attributes)
        ensure_size(file)
        certificate = self._certificate(inputs, outputs, attested, file)
        if len(encode_verdict(certificate)) > VERDICT_BYTES_MAX:
            refuse(f"the certificate is longer than {VERDICT_BYTES_MAX} bytes: declare one scale for all")
        return Proof(certificate, file)

    def _apply(self, node: Node) -> None:
        """Prove one node."""
        rule = RULES[node.operator]
        if len(node.inputs) not in rule.arity:
            refuse(f"{len(node.inputs)} inputs are not allowed", node.place)
        self.attributes[node.position] = complete(node, rule)
        inputs = tuple(self.values[name] if name else None for name in node.inputs)
        computed = [value for value in inputs if value is not None and value.constant is None]
        if not computed:
            refuse("all inputs are constants: give the result as a constant", node.place)
        macs, gas = self.work.macs, self._gas(nodes=0, size_bytes=0)
        application = Application(node, inputs, self.attributes[node.position], self.work)
        values = rule.apply(application)
        self.work.handling += handling(application, values)
        if len(values) != len(node.outputs):
            refuse(f"{len(node.outputs)} outputs are named, and it has {len(values)}", node.place)
        carried = computed if rule.flow is not Flow.CUTS else []
        linear = rule.flow is Flow.LINEAR or any(value.linear for value in carried)
        adjusts = node.operator in ADJUSTING and len(computed) < len(inputs)
        adjusted = adjusts or any(value.adjusted for value in (*carried, *values))
        for name, value in zip(node.outputs, values, strict=True):
            self.work.elements += value.elements
            floating = value.dtype not in INTEGER_RANGES
            known = replace(value, linear=linear and floating, adjusted=adjusted and floating)
            self.values[name] = known
        elements = sum(value.elements for value in values)
        gas = self._gas(nodes=1, size_bytes=0) - gas
        self.findings.append(Finding(node, values, computed[0], self.work.macs - macs, elements, gas))

    def _output(self, port: Port) -> PortSpec:
        value = self.values[port.name]
        if (port.dtype, port.shape) != (value.dtype, value.shape):
            refuse(
                f"the output is {value.dtype}{list(value.shape)}, not {port.dtype}{list(port.shape)}",
                port.name,
            )
        if value.dtype not in OUTPUT_TYPES:
            refuse("the output is no integer tensor: end with Round and Cast", port.name)
        return self._port(port, value.bounds.whole())

    def _ensure_portable(self) -> None:
        """What a run takes and gives fits a request and a reply."""
        for what, ports, most in (
            ("inputs", self.graph.inputs, MODEL_BYTES_MAX),
            ("outputs", self.graph.outputs, OUTPUT_BYTES_MAX),
        ):
            size_bytes = sum(self.values[port.name].bytes for port in ports)
            if size_bytes > most:
                refuse(f"the {what} take {size_bytes} bytes, more than {most}")

    def _port(self, port: Port, cell: Cell) -> PortSpec:
        scales, zero_points = declared(port, self.graph.metadata)
        whole = cell.at(0)
        return PortSpec(
            name=port.name,
            dtype=port.dtype,
            shape=port.shape,
            low=whole.low,
            high=whole.high,
            scales=scales,
            zero_points=zero_points,
        )

    def _entering(self, port: Port) -> Cell:
        """The range of an input after the Clip that is all it goes to, if there is one."""
        users = [node for node in self.graph.nodes if port.name in node.inputs]
        limited = len(users) == 1 and users[0].operator == "Clip"
        return self.values[users[0].outputs[0] if limited else port.name].bounds.whole()

    def _attested(self) -> tuple[int, ...]:
        """The outputs that no ranking derives; the scores of every ranking must be among them."""
        names = [port.name for port in self.graph.outputs]
        derived: set[str] = set()
        for node in self.graph.nodes:
            if node.operator in RANKING:
                if node.inputs[0] not in names:
                    refuse(
                        "the scores must be an output as well, so that an attestation covers them", node.place
                    )
                derived.update(node.outputs)
            elif not derived.isdisjoint(node.inputs):
                derived.update(node.outputs)
        attested = tuple(index for index, name in enumerate(names) if name not in derived)
        assert attested, "scores are computed before they are ranked"
        return attested

    def _certificate(
        self,
        inputs: tuple[PortSpec, ...],
        outputs: tuple[PortSpec, ...],
        attested: tuple[int, ...],
        file: bytes,
    ) -> ExactnessCertificate:
        peak_bytes = self._peak_bytes()
        if peak_bytes > PEAK_BYTES_MAX:
            refuse(f"a run takes {peak_bytes} bytes, more than {PEAK_BYTES_MAX}")
        nodes = len(self.graph.nodes)
        return ExactnessCertificate(
            model_hash=blake2b_256(file),
            inputs=inputs,
            outputs=outputs,
            attested=attested,
            bounds_digest=self._bounds_digest(),
            size_bytes=len(file),
            nodes=nodes,
            macs=self.work.macs,
            elements=self.work.elements,
            peak_bytes=peak_bytes,
            gas=self._gas(nodes, len(file)),
            gap=self._gap(),
        )

    def _gas(self, nodes: int, size_bytes: int) -> int:
        """Of a run of what was counted so far."""
        return run_gas(
            macs=self.work.macs,
            handling=self.work.handling,
            comparisons=self.work.comparisons,
            nodes=nodes,
            size_bytes=size_bytes,
        )

    def _gap(self) -> Gap | None:
        if self.work.margin is None or self.work.ulps is None:
            return None
        return Gap(assumption=Assumption(ulps=self.work.ulps), margin=self.work.margin)

    def _bounds_digest(self) -> bytes:
        """Over inputs and node outputs in order, one line of text each."""
        digest = blake2b(digest_size=32)
        names = [port.name for port in self.graph.inputs]
        names += [name for node in self.graph.nodes for name in node.outputs]
        for value in (self.values[name] for name in names):
            digest.update(f"{value.dtype} {_joined(value.shape)} {value.bounds.axis}".encode())
            if value.loose is not None:
                digest.update(f" {value.loose.low}..{value.loose.high}".encode())
            for cell in value.bounds.cells:
                digest.update(f" {cell.step}:{cell.low}:{cell.high}".encode())
            digest.update(b"\n")
        return digest.digest()

    def _peak_bytes(self) -> int:
        """Constants all the time; every other tensor from its node to its last use; outputs to the end."""
        last_use = {name: node.position for node in self.graph.nodes for name in node.outputs}
        last_use |= {name: node.position for node in self.graph.nodes for name in node.inputs if name}
        last_use |= {port.name: len(self.graph.nodes) for port in self.graph.outputs}
        freed: dict[int, list[str]] = {}
        for name, position in last_use.items():
            if name not in self.graph.constants:
                freed.setdefault(position, []).append(name)
        live = sum(len(tensor.data) for name, tensor in self.graph.constants.items() if name in last_use)
        live += sum(self.values[port.name].bytes for port in self.graph.inputs)
        peak = live
        for node in self.graph.nodes:
            live += sum(self.values[name].bytes for name in node.outputs)
            peak = max(peak, live)
            live -= sum(self.values[name].bytes for name in freed.get(node.position, []))
        return peak


def _input(port: Port) -> Value:
    """An input holds anything that its type can: only a Clip in the graph narrows that."""
    if port.dtype not in INPUT_TYPES:
        refuse(f"an input must be one of {', '.join(INPUT_TYPES)}, not {port.dtype}", port.name)
    low, high = INTEGER_RANGES[port.dtype]
    return Value(port.dtype, port.shape, Bounds((Cell(0, low, high),)))


def _joined(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
