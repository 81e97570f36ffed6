"""How a run is bent, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from node.consensus.core import Core
from primitives.certificate import Verifier
from primitives.committee import Committee
from tests.simulation.keys import SimulatedKey


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    seed: int
    oracle: str
    """Name of the oracle that objected; empty if all were content."""

    error: str
    """What it said."""

    height: int
    views: int
    frames: int
    now_ms: int
    well_ms: int
    """Simulated time from stabilisation to the goal."""

    findings: dict[str, int]
    trace: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bend:
    """How a mutant differs from the real thing."""

    core: type[Core] = Core
    committee: type[Committee] = Committee
    key: Callable[[SimulatedKey], SimulatedKey] = lambda key: key
    verifier: Callable[[Verifier], Verifier] = lambda verifier: verifier


HONEST = Bend()
