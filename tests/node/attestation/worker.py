"""A worker in memory."""

from collections.abc import Callable, Sequence
from threading import Event

from inference.certificate import Verdict
from inference.evaluation import Evaluation, Unusable
from inference.messages import Evaluate
from inference.protections import Protections
from inference.refusal import Refused
from inference.tensor import Tensor
from inference.unable import Unable


class FakeWorker:
    """Answers as a test tells it to."""

    calls_max = 1

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.outputs: tuple[Tensor, ...] = ()
        self.evaluation: Evaluation = Unusable(0, "")
        self.trouble: Unable | Refused | None = None
        self.is_broken = False
        self.protected = Protections(memory=True, network=True, privileges=True, files=True, calls=True)
        self.may_go_on = Event()
        self.may_go_on.set()
        self.asked: list[object] = []
        self.tested = Event()
        self.may_be_tested = Event()
        self.may_be_tested.set()
        self.started = Event()
        self.closed = False

    def self_test(self) -> None:
        self.tested.set()
        self.may_be_tested.wait()
        if self.is_broken:
            raise Unable("a sum is wrong")

    def protections(self) -> Protections:
        return self.protected

    def prove(self, model: bytes, /) -> Verdict:
        self.asked.append(model)
        self._wait()
        return self.verdict

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int, /
    ) -> tuple[Tensor, ...]:
        self.asked.append((file_hash, fetch(), tuple(inputs), gas))
        self._wait()
        return self.outputs

    def evaluate(self, request: Evaluate, fetch: Callable[[], bytes], /) -> Evaluation:
        self.asked.append((request, fetch()))
        self._wait()
        return self.evaluation

    def close(self) -> None:
        self.closed = True
        self.may_be_tested.set()
        self.may_go_on.set()

    def _wait(self) -> None:
        self.started.set()
        self.may_go_on.wait()
        if self.trouble is not None:
            raise self.trouble
