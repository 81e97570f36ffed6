"""Job messages in blocks: what makes a block invalid, and what a node is told of open jobs."""

import pytest

from frame.error import InvalidBlock, Rejection
from inference.certificate import encode_verdict
from inference.gas import allowance_s
from inference.refusal import Refusal
from primitives.block import Body, block_hash
from primitives.extrinsic import Call
from primitives.job_message import (
    JobPhase,
    commitment_of,
    result_digest,
    sign_abstain,
    sign_commit,
    sign_reveal,
)
from primitives.types import Balance, Hash
from runtime.constants import JOBS
from runtime.jobs import OpenJob, ProveTask, Seat, job_call
from tests.runtime.chain import ALICE, BOB, GENESIS_HASH, Chain, call

BLOB = Hash(b"\xb1" * 32)
RESULT = encode_verdict(Refusal(node="model", reason="it is no model"))
DIGEST, SALT = result_digest(RESULT), bytes(32)
REGISTER = call(6, 0, BLOB, 1000, "a model", Balance(5))


@pytest.fixture
def chain() -> Chain:
    """Alice, the only validator, has a job to prove Bob's model."""
    chain = Chain()
    chain.grow(chain.sign(BOB, REGISTER))
    return chain


def the_job(chain: Chain) -> OpenJob:
    """The only open job."""
    (job,) = chain.runtime.open_jobs(chain.state)
    return job


def commit(chain: Chain) -> Call:
    """Alice's commitment."""
    job = the_job(chain).id
    commitment = commitment_of(GENESIS_HASH, job, ALICE.public_key, DIGEST, SALT)
    return job_call(sign_commit(ALICE, GENESIS_HASH, job, commitment), None)


def reveal(chain: Chain) -> Call:
    """Alice's reveal."""
    return job_call(sign_reveal(ALICE, GENESIS_HASH, the_job(chain).id, DIGEST, SALT), RESULT)


def grow(chain: Chain, *inherents: Call) -> None:
    """Apply a block of all these inherents."""
    block, executed = chain.block((), inherents)
    assert block.body.inherents == inherents
    assert chain.runtime.execute_block(chain.state, block) == executed
    chain.state.apply(executed.changes)
    chain.hashes.append(block_hash(block.header))
    chain.runtime.check_state(chain.state)


def test_a_worker_that_is_just_not_hanging_commits_in_time() -> None:
    work_s = JOBS.open_gas_max * JOBS.gas_time_ps * JOBS.time_margin / 1e12
    assert work_s >= allowance_s(JOBS.open_gas_max)


def test_open_jobs_name_the_task_and_what_each_seat_has_said(chain: Chain) -> None:
    job = the_job(chain)
    assert job.task == ProveTask(blob=BLOB, size_bytes=1000)
    assert (job.phase, job.opened, job.known) == (JobPhase.COMMIT, 1, ())
    assert job.seats == (Seat(key=ALICE.public_key, has_spoken=False, commitment=None, has_revealed=False),)
    grow(chain, commit(chain))
    (seat,) = the_job(chain).seats
    assert (seat.has_spoken, seat.has_revealed, the_job(chain).phase) == (True, False, JobPhase.REVEAL)
    assert seat.commitment is not None


def test_a_job_goes_through_blocks_to_its_end(chain: Chain) -> None:
    grow(chain, commit(chain))
    grow(chain, reveal(chain))
    assert chain.runtime.open_jobs(chain.state) == ()
    (info,) = chain.runtime.query(chain.state, "models.page", None, 10)
    assert info.refusal == "model: it is no model"


def test_building_leaves_out_what_the_state_refuses(chain: Chain) -> None:
    abstain = job_call(sign_abstain(ALICE, GENESIS_HASH, the_job(chain).id), None)
    stranger = job_call(sign_abstain(BOB, GENESIS_HASH, the_job(chain).id), None)
    block, _ = chain.block((), [reveal(chain), stranger, commit(chain), commit(chain), abstain])
    assert block.body.inherents == (commit(chain),)


@pytest.mark.parametrize("wrong", ["duplicate", "early", "stranger"])
def test_one_bad_message_makes_the_block_invalid(chain: Chain, wrong: str) -> None:
    good = commit(chain)
    bad = {
        "duplicate": good,
        "early": reveal(chain),
        "stranger": job_call(sign_abstain(BOB, GENESIS_HASH, the_job(chain).id), None),
    }[wrong]
    context = chain.context()
    body, executed = chain.runtime.build_block(chain.state, context, [good], ())
    block = chain.seal(context, Body((*body.inherents, bad), ()), executed)
    with pytest.raises(InvalidBlock) as invalid:
        chain.runtime.execute_block(chain.state, block)
    assert invalid.value.rejection is Rejection.BAD_INHERENT


def test_nobody_signs_a_job_message_as_an_extrinsic(chain: Chain) -> None:
    block, _ = chain.block([chain.sign(BOB, commit(chain))])
    assert block.body.extrinsics == ()
