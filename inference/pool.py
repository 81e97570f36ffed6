"""Several workers behind one door. A job that hangs, crashes or takes long costs no other job its turn.

Imports no ONNX library and no numpy.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Final, Self

from inference.admission import Admission
from inference.certificate import Verdict, proof_gas
from inference.evaluation import Evaluation
from inference.messages import Evaluate
from inference.process import WorkerSettings
from inference.protections import Protections
from inference.supervisor import Supervisor, Tensors
from inference.tensor import Tensor
from inference.unable import Busy

WORKERS_MIN: Final = 2
"""One for what takes long, one for what does not, also on a single processor."""
WORKERS_MAX: Final = 8
"""Each takes up to its limit of memory."""

LONG_GAS: Final = 50_000_000_000
"""Work of more gas is long: nine tenths of a second of reference time."""


def default_workers() -> int:
    """One for each processor that this process may use, within bounds."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(available, WORKERS_MIN), WORKERS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many workers, of what kind, and how many requests may wait for them."""

    workers: int = field(default_factory=default_workers)
    waiting_max: int = 64
    worker: WorkerSettings = field(default_factory=WorkerSettings)

    @property
    def calls_max(self) -> int:
        """Calls at one time of which none is refused as Busy."""
        return self.workers + self.waiting_max


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReading:
    """The pool at one moment; the counters run from its start."""

    workers: int
    busy: int
    waiting: int
    refused: int
    """Requests that found too many waiting."""
    requests: dict[str, int]
    """Requests that got a worker, by kind."""
    seconds: dict[str, float]
    """How long they had it, by kind."""
    ended: dict[str, int]
    """Workers that were replaced, by the kind of trouble."""


class WorkerPool:
    """Starts its workers when they are first needed. May be used from any thread, and by as many."""

    def __init__(self, settings: PoolSettings | None = None) -> None:
        settings = settings or PoolSettings()
        self.calls_max: Final = settings.calls_max
        self._supervisors: Final = [Supervisor(settings.worker) for _ in range(settings.workers)]
        self._admission: Final = Admission(settings.workers, settings.waiting_max)
        self._counting: Final = Lock()
        self._refused = 0
        self._requests: Final[Counter[str]] = Counter()
        self._seconds: Final[defaultdict[str, float]] = defaultdict(float)

    def prove(self, model: bytes) -> Verdict:
        """As Supervisor.prove. Raises Busy if too many requests wait."""
        with self._worker("prove", proof_gas(len(model)), lambda each: False) as worker:
            return worker.prove(model)

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int
    ) -> Tensors:
        """As Supervisor.run. Raises Busy if too many requests wait."""
        with self._worker("run", gas, lambda each: each.has_run(file_hash)) as worker:
            return worker.run(file_hash, fetch, inputs, gas)

    def evaluate(self, request: Evaluate, fetch: Callable[[], bytes]) -> Evaluation:
        """As Supervisor.evaluate. Raises Busy if too many requests wait."""
        with self._worker("evaluate", request.gas, lambda each: each.has_run(request.file_hash)) as worker:
            return worker.evaluate(request, fetch)

    def self_test(self) -> None:
        """Raises Unable, with the reason, unless the engine computes as the proofs assume."""
        with self._worker("test", 0, lambda each: False) as worker:
            worker.self_test()

    def protections(self) -> Protections:
        """As Supervisor.protections; every worker has the same."""
        with self._worker("test", 0, lambda each: False) as worker:
            return worker.protections()

    def reading(self) -> PoolReading:
        """For an operator."""
        ended: Counter[str] = sum((each.ended for each in self._supervisors), Counter())
        with self._counting:
            return PoolReading(
                workers=len(self._supervisors),
                busy=len(self._supervisors) - self._admission.idle,
                waiting=self._admission.waiting,
                refused=self._refused,
                requests=dict(self._requests),
                seconds=dict(self._seconds),
                ended=dict(ended),
            )

    def close(self) -> None:
        """End every worker, in the middle of a request if need be; leaves no process and no file."""
        self._admission.close()
        for supervisor in self._supervisors:
            supervisor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _worker(self, kind: str, gas: int, likes: Callable[[Supervisor], bool]) -> Iterator[Supervisor]:
        """A worker of one's own for work of `gas`."""
        try:
            with self._admission.worker(
                long=gas > LONG_GAS, likes=lambda index: likes(self._supervisors[index])
            ) as index:
                start = time.monotonic()
                try:
                    yield self._supervisors[index]
                finally:
                    with self._counting:
                        self._requests[kind] += 1
                        self._seconds[kind] += time.monotonic() - start
        except Busy:
            with self._counting:
                self._refused += 1
            raise
