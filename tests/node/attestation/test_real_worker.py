"""A real model through the real pallets, with a real worker in each seat's place."""

from collections.abc import Iterator

import pytest

from frame.origin import Signed
from inference.certificate import decode_outputs, decode_verdict, encode_inputs
from inference.engines.interface import run
from inference.engines.reference import NumpyEngine
from inference.pool import WorkerPool
from inference.prover import prove
from inference.tensor import from_integers
from node.attestation.computation import Material, compute, unfitness
from pallets.models.pallet import ModelState
from primitives.types import Balance, Hash
from runtime.constants import TOKEN
from runtime.jobs import open_jobs
from tests.inference.build import two_layers
from tests.pallets.attested import MODEL, Attested
from tests.pallets.world import ALICE, BOB

FILE = two_layers()
INPUTS = (from_integers("int8", (1, 3), (5, -7, 100)),)


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerPool]:
    with WorkerPool() as pool:
        yield pool


def attest(world: Attested, worker: WorkerPool) -> Hash:
    """Have every seat answer the open job with what the worker finds; the job."""
    (job,) = open_jobs(world.pallets)
    result = compute(worker, job.task, Material(FILE))
    assert isinstance(result, bytes)
    world.attest(job.id, dict.fromkeys(range(4), result))
    return job.id


def test_a_real_model_is_proven_and_run(worker: WorkerPool) -> None:
    assert unfitness(worker) is None
    world = Attested()
    world.register(ALICE, size_bytes=len(FILE))
    attest(world, worker)
    assert world.info().model.state is ModelState.PROVEN
    proof = prove(FILE)
    certificate = proof.certificate
    assert decode_verdict(world.pallets.models.certificate(MODEL)) == certificate
    world.pallets.inference.request(
        Signed(BOB), MODEL, encode_inputs(certificate, INPUTS), Balance(2 * TOKEN)
    )
    record = world.pallets.inference.receipt(attest(world, worker))
    assert record is not None
    assert record.output is not None
    scores, label = run(NumpyEngine(), proof.canonical, INPUTS)
    assert decode_outputs(certificate, record.output) == (scores,)
    assert record.classes == (int.from_bytes(label.data, "little"),)
    world.check_state()


def test_a_file_that_is_no_model_is_refused_by_all(worker: WorkerPool) -> None:
    world = Attested()
    world.register(ALICE, size_bytes=len(FILE) + 1)
    attest(world, worker)
    assert world.info().model.state is ModelState.REFUSED
    assert world.info().refusal == f"model: the file has {len(FILE)} bytes, not {len(FILE) + 1}"
