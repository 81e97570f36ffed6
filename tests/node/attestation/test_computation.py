"""Results of tasks: verdicts, outputs, and what is no result at all."""

import pytest

from inference.certificate import VERDICT_BYTES_MAX, decode_verdict, encode_outputs, encode_verdict
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, from_integers
from inference.unable import Unable
from node.attestation.computation import compute, unfitness
from node.attestation.core import Trouble
from primitives.hashing import blake2b_256
from primitives.job_message import RESULT_BYTES_MAX
from runtime.jobs import InferTask, ProveTask
from tests.node.attestation.jobs import BLOB
from tests.node.attestation.worker import FakeWorker
from tests.pallets.attested import CERTIFICATE, INPUT, VERDICT, features

MODEL = b"abc"
PROVE = ProveTask(blob=BLOB, size_bytes=3)
INFER = InferTask(blob=BLOB, certificate=VERDICT, input=INPUT)


def outputs(low: int = -7, high: int = 40) -> tuple[Tensor, ...]:
    """Scores and label."""
    return from_integers("int32", (1, 2), [low, high]), from_integers("int64", (1,), [1])


@pytest.fixture
def worker() -> FakeWorker:
    worker = FakeWorker(CERTIFICATE)
    worker.outputs = outputs()
    return worker


def test_a_certificate_is_a_verdict(worker: FakeWorker) -> None:
    assert compute(worker, PROVE, MODEL) == VERDICT


def test_a_refusal_is_a_verdict_too(worker: FakeWorker) -> None:
    worker.verdict = Refusal(node="node 3", reason="it may overflow")
    assert compute(worker, PROVE, MODEL) == encode_verdict(worker.verdict)


def test_a_file_of_another_length_is_refused_unread(worker: FakeWorker) -> None:
    result = compute(worker, PROVE, MODEL + b"d")
    assert isinstance(result, bytes)
    assert decode_verdict(result) == Refusal(node="model", reason="the file has 4 bytes, not 3")
    assert worker.asked == []


def test_every_verdict_fits_the_state() -> None:
    assert VERDICT_BYTES_MAX <= RESULT_BYTES_MAX


def test_a_run_gives_the_attested_outputs(worker: FakeWorker) -> None:
    assert compute(worker, INFER, MODEL) == encode_outputs(CERTIFICATE, outputs())
    assert worker.asked == [(blake2b_256(MODEL), MODEL, (features(1, -2, 3),), CERTIFICATE.gas)]


@pytest.mark.parametrize("task", [PROVE, INFER])
def test_trouble_of_the_machine_is_no_result(worker: FakeWorker, task: ProveTask | InferTask) -> None:
    worker.trouble = Unable("it hung")
    assert compute(worker, task, MODEL) is Trouble.UNABLE


def test_an_engine_that_contradicts_the_proof_is_no_result(worker: FakeWorker) -> None:
    worker.outputs = outputs(high=5001)
    assert compute(worker, INFER, MODEL) is Trouble.UNABLE
    worker.outputs = outputs()[:1]
    assert compute(worker, INFER, MODEL) is Trouble.UNABLE
    worker.trouble = Refused("model", "cannot be proved")
    assert compute(worker, INFER, MODEL) is Trouble.UNABLE


def test_an_engine_that_fails_its_self_test_is_not_fit(worker: FakeWorker) -> None:
    assert unfitness(worker) is None
    worker.is_broken = True
    assert unfitness(worker) is not None
