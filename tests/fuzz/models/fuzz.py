"""One hostile model judged: refused with a reason, or proved and then the same bits on every engine."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import prod
from pathlib import Path
from random import Random
from typing import Final

from inference.certificate import PortSpec, proof_gas
from inference.gas import allowance_s
from inference.process import WorkerSettings
from inference.prover import Proof, prove
from inference.refusal import Refused
from inference.supervisor import Supervisor
from inference.tensor import INTEGER_RANGES, ITEM_BYTES, Tensor, from_integers
from inference.unable import Unable
from primitives.hashing import blake2b_256
from tests.fuzz.models.corpus import fresh
from tests.fuzz.models.twist import twisted

CASES: Final = Path(__file__).parent / "cases"
"""Models that once did harm, one file each."""

MEMORY_BYTES_MAX: Final = 1 << 30
"""Of the process that proves; the models here are small."""

PROOF_S: Final = 1.0
"""Processor time of a proof beyond what its gas pays for."""

WORKER: Final = WorkerSettings(module="tests.fuzz.models.comparing_worker", engine="all", sessions_bytes=1)
"""Keeps one model ready, for each has threads of its own."""

RUN_GAS_MAX: Final = 1 << 28
"""Of a run; the reference engine takes minutes for a forest over a million rows, which says nothing new."""

ELEMENTS_DRAWN_MAX: Final = 1 << 16
"""Of an input; larger ones hold one number."""

FRESH: Final = 0.4
"""Share of the models that start from a random graph rather than from the corpus."""


class Harm(Exception):
    """The model did what none may."""


@dataclass
class Tally:
    """How it went."""

    cases: int = 0
    proved: int = 0
    runs: int = 0
    slowest_s: float = 0.0
    refusals: Counter[str] = field(default_factory=Counter)


def judge(data: bytes, supervisor: Supervisor, random: Random, tally: Tally) -> None:
    """Raises Harm."""
    began = time.process_time()
    _forget_peak()
    tally.cases += 1
    try:
        proof: Proof | None = prove(data)
    except Refused as refused:
        proof = None
        if not refused.refusal.reason:
            raise Harm("refused without a reason") from None
        tally.refusals[refused.refusal.reason[:40]] += 1
    except Exception as error:
        raise Harm(f"the prover raised {error!r}"[:400]) from error
    took_s = time.process_time() - began
    tally.slowest_s = max(tally.slowest_s, took_s)
    if took_s > PROOF_S + allowance_s(proof_gas(len(data))):
        raise Harm(f"the proof took {took_s:.1f} s")
    peak_bytes = _peak_bytes()
    if peak_bytes > MEMORY_BYTES_MAX:
        raise Harm(f"the proof took {peak_bytes} bytes of memory")
    if proof is not None:
        tally.proved += 1
        _ensure_alike(data, proof, supervisor, random, tally)


def _forget_peak() -> None:
    """Linux: the most memory of this process is from now on what it has now."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _ensure_alike(data: bytes, proof: Proof, supervisor: Supervisor, random: Random, tally: Tally) -> None:
    """The canonical file is a fixed point, and all engines give the same bits, within the proved range."""
    certificate = proof.certificate
    try:
        again = prove(proof.canonical)
    except Refused as refused:
        raise Harm(f"the canonical file is refused: {refused}") from None
    if again != proof:
        raise Harm("the canonical file has another certificate")
    if certificate.gas > RUN_GAS_MAX:
        return
    runs = inputs_of(certificate.inputs, random)
    try:
        for inputs in runs:
            supervisor.run(blake2b_256(data), lambda: data, inputs, certificate.gas)
    except Refused as refused:
        raise Harm(f"the worker refuses what is proved: {refused}") from None
    except Unable as error:
        raise Harm(f"{type(error).__name__}: {error}") from None
    tally.runs += len(runs)


def inputs_of(ports: Sequence[PortSpec], random: Random) -> list[tuple[Tensor, ...]]:
    """Inputs at the limits of the types and of what the graph tells apart, and between them."""
    return [tuple(_input(port, kind, random) for port in ports) for kind in range(8)]


def _input(port: PortSpec, kind: int, random: Random) -> Tensor:
    count = prod(port.shape)
    least, most = INTEGER_RANGES[port.dtype]
    low, high = max(least, port.low), min(most, port.high)
    choices = {0: [least], 1: [most], 2: [low], 3: [high], 4: [low, high]}
    if kind in choices:
        values = choices[kind]
    elif kind == 5:
        data = random.randbytes(count * ITEM_BYTES[port.dtype])
        return Tensor(dtype=port.dtype, shape=port.shape, data=data)
    else:
        near = range(max(low, -3), min(high, 3) + 1)
        values = list(near) if kind == 6 and near else [random.randint(low, high) for _ in range(32)]
    known = [from_integers(port.dtype, (), [value]).data for value in values]
    if count > ELEMENTS_DRAWN_MAX:
        data = random.choice(known) * count
    else:
        data = b"".join(random.choices(known, k=count))
    return Tensor(dtype=port.dtype, shape=port.shape, data=data)


def keep(data: bytes) -> Path:
    """Write a case down, to be tried again for ever."""
    CASES.mkdir(exist_ok=True)
    path = CASES / f"{blake2b(data, digest_size=4).hexdigest()}.onnx"
    path.write_bytes(data)
    return path


def grown(seeds: Sequence[bytes], random: Random) -> bytes:
    """A hostile model."""
    return twisted(fresh(random) if random.random() < FRESH else random.choice(seeds), random)
