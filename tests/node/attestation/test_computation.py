"""Results of tasks: verdicts, outputs, and what is no result at all."""

import dataclasses
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from frame.sealing import SealingKey
from inference.certificate import (
    VERDICT_BYTES_MAX,
    decode_verdict,
    encode_inputs,
    encode_outputs,
    encode_verdict,
)
from inference.evaluation import (
    Cell,
    Classified,
    Metric,
    Unusable,
    encode_evaluation,
)
from inference.messages import Evaluate
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, from_integers
from inference.unable import Unable
from node.attestation.computation import Material, compute, opened, unfitness
from node.attestation.core import Stored, Trouble, word_of
from node.blobs.messages import blob_id, manifest_of
from node.sealing.box import open_output, public_key_of, seal_input
from primitives.hashing import blake2b_256
from primitives.job_message import RESULT_BYTES_MAX, STORED_OUTPUT, StoredOutput
from primitives.sealing import panel_digest
from primitives.types import Hash, Seed
from runtime.jobs import EvaluateTask, GivenInput, InferTask, ProveTask
from tests.node.attestation.jobs import BLOB
from tests.node.attestation.worker import FakeWorker
from tests.pallets.attested import CERTIFICATE, INPUT, VERDICT, features

MODEL = b"abc"
SEALING_SEED = Seed(b"\x5e" * 32)
SEALING_KEY = public_key_of(SEALING_SEED)
OTHER_KEY = public_key_of(Seed(b"\x5f" * 32))
PROVE = ProveTask(blob=BLOB, size_bytes=3)
INFER = InferTask(blob=BLOB, certificate=VERDICT, input=INPUT, given=None)


def outputs(low: int = -7, high: int = 40) -> tuple[Tensor, ...]:
    """Scores and label."""
    return from_integers("int32", (1, 2), [low, high]), from_integers("int64", (1,), [1])


@pytest.fixture
def worker() -> FakeWorker:
    worker = FakeWorker(CERTIFICATE)
    worker.outputs = outputs()
    return worker


def test_a_certificate_is_a_verdict(worker: FakeWorker) -> None:
    assert compute(worker, PROVE, Material(MODEL)) == VERDICT


def test_a_refusal_is_a_verdict_too(worker: FakeWorker) -> None:
    worker.verdict = Refusal(node="node 3", reason="it may overflow")
    assert compute(worker, PROVE, Material(MODEL)) == encode_verdict(worker.verdict)


def test_a_file_of_another_length_is_refused_unread(worker: FakeWorker) -> None:
    result = compute(worker, PROVE, Material(MODEL + b"d"))
    assert isinstance(result, bytes)
    assert decode_verdict(result) == Refusal(node="model", reason="the file has 4 bytes, not 3")
    assert worker.asked == []


def test_every_verdict_fits_the_state() -> None:
    assert VERDICT_BYTES_MAX <= RESULT_BYTES_MAX


def test_a_run_gives_the_attested_outputs(worker: FakeWorker) -> None:
    assert compute(worker, INFER, Material(MODEL)) == encode_outputs(CERTIFICATE, outputs())
    assert worker.asked == [(blake2b_256(MODEL), MODEL, (features(1, -2, 3),), CERTIFICATE.gas)]


@pytest.mark.parametrize("task", [PROVE, INFER])
def test_trouble_of_the_machine_is_no_result(worker: FakeWorker, task: ProveTask | InferTask) -> None:
    worker.trouble = Unable("it hung")
    assert compute(worker, task, Material(MODEL)) is Trouble.UNABLE


def test_an_engine_that_contradicts_the_proof_is_no_result(worker: FakeWorker) -> None:
    worker.outputs = outputs(high=5001)
    assert compute(worker, INFER, Material(MODEL)) is Trouble.UNABLE
    worker.outputs = outputs()[:1]
    assert compute(worker, INFER, Material(MODEL)) is Trouble.UNABLE
    worker.trouble = Refused("model", "cannot be proved")
    assert compute(worker, INFER, Material(MODEL)) is Trouble.UNABLE


def test_an_engine_that_fails_its_self_test_is_not_fit(worker: FakeWorker) -> None:
    assert unfitness(worker) is None
    worker.is_broken = True
    assert unfitness(worker) is not None


PURPOSE = Hash(b"\x70" * 32)


def given(
    commitment: Hash | None,
    is_output_sealed: bool = False,
    panel: Sequence[SealingKey | None] = (SEALING_KEY,),
) -> InferTask:
    """A task whose input the requester gives."""
    where = GivenInput(
        blob=BLOB,
        size_bytes=900,
        commitment=commitment,
        panel=None if commitment is None else panel_digest(panel),
        purpose=PURPOSE,
        is_output_sealed=is_output_sealed,
    )
    return InferTask(blob=BLOB, certificate=VERDICT, input=None, given=where)


def test_an_input_that_is_a_blob_is_run_like_any_other(worker: FakeWorker) -> None:
    material = opened(given(None), INPUT, {})
    assert material == Material(b"", INPUT)
    assert isinstance(material, Material)
    result = compute(worker, given(None), dataclasses.replace(material, model=MODEL))
    assert result == encode_outputs(CERTIFICATE, outputs())


def test_a_private_input_is_opened_and_its_answer_sealed(worker: FakeWorker) -> None:
    sealed = seal_input(INPUT, PURPOSE, [SEALING_KEY])
    task = given(sealed.commitment, is_output_sealed=True)
    material = opened(task, sealed.data, {SEALING_KEY: SEALING_SEED})
    assert isinstance(material, Material)
    found = compute(worker, task, dataclasses.replace(material, model=MODEL))
    assert isinstance(found, Stored)
    assert open_output(sealed.salt, found.output) == encode_outputs(CERTIFICATE, outputs())
    assert worker.asked == [(blake2b_256(MODEL), MODEL, (features(1, -2, 3),), CERTIFICATE.gas)]


@pytest.mark.parametrize(
    "data",
    [b"nonsense", INPUT[:-1], encode_inputs(CERTIFICATE, [features(0, 0, 101)])],
    ids=["nonsense", "cut", "out of range"],
)
def test_what_is_no_input_of_the_model_is_the_fault_of_the_requester(data: bytes) -> None:
    assert opened(given(None), data, {}) is Trouble.UNREADABLE
    sealed = seal_input(data, PURPOSE, [SEALING_KEY])
    assert opened(given(sealed.commitment), sealed.data, {SEALING_KEY: SEALING_SEED}) is Trouble.UNREADABLE


def test_a_sealed_input_that_is_another_is_the_fault_of_the_requester() -> None:
    sealed = seal_input(INPUT, PURPOSE, [SEALING_KEY])
    task = given(Hash(bytes(32)))
    assert opened(task, sealed.data, {SEALING_KEY: SEALING_SEED}) is Trouble.UNREADABLE


def test_who_has_no_key_to_it_abstains_and_blames_nobody() -> None:
    sealed = seal_input(INPUT, PURPOSE, [SEALING_KEY])
    assert opened(given(sealed.commitment), sealed.data, {}) is Trouble.UNABLE


@pytest.mark.parametrize("boxes", [[OTHER_KEY], [OTHER_KEY, None], [SEALING_KEY, OTHER_KEY]])
def test_who_is_left_out_of_its_panel_blames_the_requester(boxes: list[SealingKey | None]) -> None:
    sealed = seal_input(INPUT, PURPOSE, boxes)
    task = given(sealed.commitment, panel=(OTHER_KEY, SEALING_KEY))
    assert opened(task, sealed.data, {SEALING_KEY: SEALING_SEED}) is Trouble.UNREADABLE


def test_a_long_output_is_told_by_its_hash(worker: FakeWorker) -> None:
    port = replace(CERTIFICATE.outputs[0], shape=(1, 2_000))
    long = replace(CERTIFICATE, outputs=(port, CERTIFICATE.outputs[1]))
    worker.outputs = (from_integers("int32", (1, 2_000), list(range(2_000))), outputs()[1])
    task = InferTask(blob=BLOB, certificate=encode_verdict(long), input=INPUT, given=None)
    found = compute(worker, task, Material(MODEL))
    assert found == Stored(encode_outputs(long, worker.outputs))
    word = word_of(BLOB, found)
    assert word.is_stored
    assert word.result is not None
    named = STORED_OUTPUT.decode(word.result)
    assert named == StoredOutput(Hash(blob_id(manifest_of(found.output))), len(found.output))


def measuring(data: bytes, rows: int, size_bytes: int | None = None) -> EvaluateTask:
    return EvaluateTask(
        blob=BLOB,
        certificate=VERDICT,
        dataset=BLOB,
        size_bytes=len(data) if size_bytes is None else size_bytes,
        rows=rows,
        metric=Metric.CLASSIFICATION,
    )


def test_an_evaluation_is_what_the_worker_finds_in_the_data_set(worker: FakeWorker) -> None:
    """The bytes go there as they are, whatever they may be."""
    worker.evaluation = Classified(3, 2, (Cell(1, 1, 2), Cell(0, 1, 1)))
    found = compute(worker, measuring(b"any", 7), Material(MODEL, b"any"))
    assert found == encode_evaluation(worker.evaluation)
    request = Evaluate(
        file_hash=blake2b_256(MODEL),
        certificate=CERTIFICATE,
        metric=Metric.CLASSIFICATION,
        rows=7,
        data=b"any",
    )
    assert worker.asked == [(request, MODEL)]


def test_a_data_set_of_another_length_is_a_verdict_without_a_worker(worker: FakeWorker) -> None:
    for registered in (2, 4):
        found = compute(worker, measuring(b"any", 3, registered), Material(MODEL, b"any"))
        assert found == encode_evaluation(Unusable(0, f"it has 3 bytes, not {registered}"))
    assert worker.asked == []


@pytest.mark.parametrize("trouble", [Unable("it hung"), Refused("model", "cannot be proved")])
def test_trouble_of_the_machine_is_no_evaluation(worker: FakeWorker, trouble: Unable | Refused) -> None:
    worker.trouble = trouble
    assert compute(worker, measuring(b"any", 1), Material(MODEL, b"any")) is Trouble.UNABLE
