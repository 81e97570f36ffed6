"""The host of blocks: the right answer or none, and a file that is not here is named."""

from collections.abc import Callable, Sequence

import pytest

from frame.error import NotHere, Unable
from inference.certificate import encode_inputs, encode_outputs, encode_verdict
from inference.engines.kinds import EngineKind
from inference.prover import prove
from inference.refusal import Refused
from inference.supervisor import Supervisor
from inference.tensor import Tensor, from_integers
from inference.unable import Crashed
from node.instant.host import SETTINGS, BlockHost
from primitives.types import Hash
from runtime.constants import INSTANT
from tests.inference.build import two_layers
from tests.pallets.attested import CERTIFICATE, INPUT, VERDICT

BLOB = Hash(b"\xb1" * 32)


def outputs(high: int = 40) -> tuple[Tensor, ...]:
    return from_integers("int32", (1, 2), [-7, high]), from_integers("int64", (1,), [1])


class Worker:
    """Answers as a test tells it to."""

    def __init__(self) -> None:
        self.outputs = outputs()
        self.trouble: Exception | None = None
        self.files: list[bytes] = []
        self.is_closed = False

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int, /
    ) -> tuple[Tensor, ...]:
        assert gas == CERTIFICATE.gas
        self.files.append(fetch())
        if self.trouble is not None:
            raise self.trouble
        return self.outputs

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def host(worker: Worker) -> BlockHost:
    host = BlockHost(worker)
    host.give(BLOB, b"model")
    return host


def test_it_gives_the_attested_outputs(host: BlockHost, worker: Worker) -> None:
    assert host.run_model(BLOB, VERDICT, INPUT) == encode_outputs(CERTIFICATE, outputs())
    assert worker.files == [b"model"]


def test_a_file_that_is_not_here_is_named_and_not_waited_for(worker: Worker) -> None:
    host = BlockHost(worker)
    with pytest.raises(NotHere, match="is not here yet"):
        host.run_model(BLOB, VERDICT, INPUT)
    assert (host.missing(), host.has(BLOB)) == ((BLOB,), False)
    host.give(BLOB, b"model")
    assert (host.missing(), host.has(BLOB)) == ((), True)
    host.run_model(BLOB, VERDICT, INPUT)


@pytest.mark.parametrize("trouble", [Crashed("it died"), Refused("model", "cannot be proved")])
def test_trouble_of_the_worker_is_no_answer(host: BlockHost, worker: Worker, trouble: Exception) -> None:
    worker.trouble = trouble
    with pytest.raises(Unable):
        host.run_model(BLOB, VERDICT, INPUT)
    host.warm(BLOB, VERDICT)
    worker.trouble = None
    host.run_model(BLOB, VERDICT, INPUT)


@pytest.mark.parametrize("wrong", [outputs(high=5001), outputs()[:1], (), outputs()[::-1]])
def test_an_engine_that_contradicts_the_proof_is_no_answer(
    host: BlockHost, worker: Worker, wrong: tuple[Tensor, ...]
) -> None:
    worker.outputs = wrong
    with pytest.raises(Unable):
        host.run_model(BLOB, VERDICT, INPUT)


def test_the_engine_is_the_same_everywhere_and_keeps_all_models_ready() -> None:
    """Whoever calls a model pays for the run alone."""
    assert SETTINGS.engine is EngineKind.ONNXRUNTIME
    assert SETTINGS.sessions_bytes >= INSTANT.ready_bytes_max


def test_a_real_model_is_warmed_and_run() -> None:
    file = two_layers()
    certificate = prove(file).certificate
    proved = encode_verdict(certificate)
    host = BlockHost(Supervisor(SETTINGS))
    try:
        host.give(BLOB, file)
        host.warm(BLOB, proved)
        inputs = encode_inputs(certificate, [from_integers("int8", (1, 3), [5, -7, 100])])
        first = host.run_model(BLOB, proved, inputs)
        assert host.run_model(BLOB, proved, inputs) == first
    finally:
        host.close()
    with pytest.raises(Unable):
        host.run_model(BLOB, proved, inputs)
