"""Several real workers behind one door."""

import os
import signal
from collections.abc import Iterator
from threading import Thread

import pytest

from inference.certificate import proof_gas
from inference.encoding import greatest
from inference.engines.interface import run
from inference.engines.reference import NumpyEngine
from inference.evaluation import Cell, Classified, Metric, Row, encode_dataset
from inference.messages import Evaluate
from inference.pool import LONG_GAS, WORKERS_MAX, WORKERS_MIN, PoolSettings, WorkerPool, default_workers
from inference.process import WorkerSettings
from inference.prover import prove, verdict
from inference.tensor import from_integers
from inference.unable import Busy, Crashed, Unable
from primitives.hashing import blake2b_256
from tests.inference.bad_worker import BAD_TO_RUN
from tests.inference.build import two_layers

MODEL = two_layers()
MODEL_HASH = blake2b_256(MODEL)
GAS = prove(MODEL).certificate.gas
INPUTS = (from_integers("int8", (1, 3), (5, -7, 100)),)
BAD_INPUTS = (from_integers("int8", (1, 3), (BAD_TO_RUN, 0, 0)),)
EXPECTED = run(NumpyEngine(), MODEL, INPUTS)
CLASS = greatest(EXPECTED[0])


def evaluating(rows: int) -> Evaluate:
    """A measurement on the same row as often."""
    row = Row(INPUTS, from_integers("uint8", (), (CLASS,)))
    return Evaluate(
        file_hash=MODEL_HASH,
        certificate=prove(MODEL).certificate,
        metric=Metric.CLASSIFICATION,
        rows=rows,
        data=encode_dataset([row] * rows),
    )


def fetch() -> bytes:
    return MODEL


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """Two workers that die of the bad inputs; none may wait."""
    worker = WorkerSettings(module="tests.inference.bad_worker", engine="die")
    with WorkerPool(PoolSettings(workers=2, waiting_max=0, worker=worker)) as pool:
        yield pool


def prove_in_vain(pool: WorkerPool) -> None:
    with pytest.raises(Unable):
        pool.prove(MODEL)


def busy_with(pool: WorkerPool) -> Thread:
    """A thread that proves, with a worker that stands still."""
    workers = [each._worker for each in pool._supervisors if each._worker is not None]
    assert len(workers) == 1
    os.kill(workers[0].id, signal.SIGSTOP)
    thread = Thread(target=prove_in_vain, args=(pool,), daemon=True)
    thread.start()
    while not pool.reading().busy:
        pass
    return thread


def test_the_number_of_workers_is_bounded() -> None:
    assert WORKERS_MIN <= default_workers() <= WORKERS_MAX
    assert PoolSettings(workers=3, waiting_max=4).calls_max == 7


def test_a_pool_answers_as_a_worker_does(pool: WorkerPool) -> None:
    pool.self_test()
    assert pool.protections().memory
    assert pool.prove(MODEL) == verdict(MODEL)
    assert pool.run(MODEL_HASH, fetch, INPUTS, GAS) == EXPECTED
    assert pool.evaluate(evaluating(3), fetch) == Classified(3, 3, (Cell(CLASS, CLASS, 3),))
    reading = pool.reading()
    assert reading.requests == {"test": 2, "prove": 1, "run": 1, "evaluate": 1}
    assert reading.seconds.keys() == reading.requests.keys()
    assert (reading.workers, reading.busy, reading.waiting, reading.refused) == (2, 0, 0, 0)
    assert reading.ended == {}


def test_workers_start_when_they_are_needed(pool: WorkerPool) -> None:
    assert [each._worker for each in pool._supervisors] == [None, None]
    for _ in range(3):
        pool.run(MODEL_HASH, fetch, INPUTS, GAS)
    assert [each._worker is None for each in pool._supervisors].count(True) == 1


def test_a_worker_that_stands_still_holds_up_nobody(pool: WorkerPool) -> None:
    pool.self_test()
    thread = busy_with(pool)
    assert pool.run(MODEL_HASH, fetch, INPUTS, GAS) == EXPECTED
    assert pool.reading().busy == 1
    pool.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_full_pool_refuses_at_once(pool: WorkerPool) -> None:
    pool.self_test()
    thread = busy_with(pool)
    with pool._admission.worker(long=False, likes=lambda index: False), pytest.raises(Busy):
        pool.run(MODEL_HASH, fetch, INPUTS, GAS)
    assert pool.reading().refused == 1
    pool.close()
    thread.join(30)


def test_long_work_waits_rather_than_take_the_last_worker(pool: WorkerPool) -> None:
    assert proof_gas(64 << 20) > LONG_GAS > GAS
    pool.self_test()
    with pool._admission.worker(long=True, likes=lambda index: False):
        with pytest.raises(Busy):
            pool.run(MODEL_HASH, fetch, INPUTS, LONG_GAS + 1)
        with pytest.raises(Busy):
            pool.evaluate(evaluating(LONG_GAS // GAS), fetch)
        assert pool.run(MODEL_HASH, fetch, INPUTS, GAS) == EXPECTED


def test_a_crash_costs_its_request_alone_and_is_counted(pool: WorkerPool) -> None:
    pool.run(MODEL_HASH, fetch, INPUTS, GAS)
    with pytest.raises(Crashed):
        pool.run(MODEL_HASH, fetch, BAD_INPUTS, GAS)
    assert pool.run(MODEL_HASH, fetch, INPUTS, GAS) == EXPECTED
    assert pool.reading().ended == {"Crashed": 1}
    assert pool.reading().busy == 0


def test_a_closed_pool_is_unable(pool: WorkerPool) -> None:
    pool.close()
    with pytest.raises(Unable, match="closed"):
        pool.prove(MODEL)
