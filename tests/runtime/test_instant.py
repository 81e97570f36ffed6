"""Models in blocks: what an author leaves out, what an executor does not judge, and that both agree."""

from itertools import pairwise

import pytest

from frame.error import NotHere, Unable
from inference.certificate import encode_inputs, encode_verdict
from primitives.block import block_hash
from primitives.extrinsic import Call
from primitives.job_message import commitment_of, result_digest, sign_commit, sign_reveal
from primitives.types import Balance, Hash
from runtime.constants import INSTANT
from runtime.jobs import job_call
from runtime.runtime import RESTS_MAX, GivingUp, Runtime
from tests.pallets.attested import BLOB, CERTIFICATE, SIZE, features
from tests.pallets.test_instant import Host
from tests.runtime.chain import ALICE, BOB, CHARLIE, GENESIS_HASH, Chain, account, call, transfer

RESULT = encode_verdict(CERTIFICATE)
INPUT = encode_inputs(CERTIFICATE, [features(1, -2, 3)])
SALT = bytes(32)


class Deployed:
    """A chain on which a model can be run in blocks, and the machine that runs it."""

    def __init__(self) -> None:
        self.host = Host()
        self.chain = Chain(Runtime(host=self.host))
        chain = self.chain
        chain.grow(chain.sign(BOB, call(6, 0, BLOB, SIZE, "a model", Balance(5))))
        (job,) = chain.runtime.open_jobs(chain.state)
        digest = result_digest(RESULT)
        commitment = commitment_of(GENESIS_HASH, job.id, ALICE.public_key, digest, SALT)
        chain.grow(inherents=[job_call(sign_commit(ALICE, GENESIS_HASH, job.id, commitment), None)])
        chain.grow(inherents=[job_call(sign_reveal(ALICE, GENESIS_HASH, job.id, digest, SALT), RESULT)])
        (info,) = chain.runtime.query(chain.state, "models.page", None, 10)
        self.model: Hash = info.id
        chain.grow(chain.sign(BOB, call(15, 0, self.model)))
        for _ in range(INSTANT.lead_blocks):
            chain.grow()

    def infer(self) -> Call:
        """The call that runs the model."""
        return call(15, 1, self.model, INPUT, CERTIFICATE.gas, Balance(5))


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


def test_who_executes_the_block_gets_the_same_answer(deployed: Deployed) -> None:
    chain = deployed.chain
    executed = chain.grow(chain.sign(ALICE, deployed.infer()))
    [outcome] = executed.outcome.calls
    assert outcome.failure is None
    assert [event.event for event in outcome.events] == ["FeePaid", "Transferred", "Answered"]
    assert len(deployed.host.asked) == 2


def test_an_author_in_trouble_leaves_it_out_and_everything_else_in(deployed: Deployed) -> None:
    chain = deployed.chain
    before = chain.free(account(ALICE))
    candidates = [
        chain.sign(ALICE, deployed.infer()),
        chain.sign(ALICE, deployed.infer(), nonce=1),
        chain.sign(BOB, transfer(account(CHARLIE), 10**9)),
        chain.sign(BOB, deployed.infer(), nonce=3),
    ]
    deployed.host.is_unable = True
    block, executed = chain.block(candidates)
    assert block.body.extrinsics == (candidates[2],)
    assert len(deployed.host.asked) == 1, "an author has no time to lose twice"
    deployed.host.is_unable = False
    assert chain.runtime.execute_block(chain.state, block) == executed
    chain.state.apply(executed.changes)
    chain.hashes.append(block_hash(block.header))
    chain.runtime.check_state(chain.state)
    fee = before - chain.free(account(ALICE))
    collected = sum(
        1 for outcome in executed.outcome.calls for event in outcome.events if event.event == "FeePaid"
    )
    assert collected == 1
    assert fee <= 0, "who was left out has paid nothing"


class Machine:
    """Says what is asked of it, and fails as it is told to, by model."""

    def __init__(self) -> None:
        self.troubles: dict[Hash, Unable] = {}
        self.asked: list[Hash] = []

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        self.asked.append(blob)
        if blob in self.troubles:
            raise self.troubles[blob]
        return b"an answer"


BAD, GOOD = Hash(b"\x0b" * 32), Hash(b"\x0c" * 32)


def run(host: GivingUp, *blobs: Hash) -> list[bool]:
    """What can be run of one block."""
    host.begin_block()
    done = []
    for blob in blobs:
        try:
            done.append(host.run_model(blob, b"", b"") == b"an answer")
        except Unable:
            done.append(False)
    return done


def test_a_model_that_makes_trouble_costs_an_author_ever_fewer_blocks() -> None:
    machine = Machine()
    machine.troubles[BAD] = Unable("it hangs")
    host = GivingUp(machine)
    tried = []
    for at in range(300):
        machine.asked.clear()
        is_good_run = run(host, BAD, GOOD)[1]
        assert is_good_run != (BAD in machine.asked), "whoever lost no time runs the others"
        if BAD in machine.asked:
            tried.append(at)
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps == [2, 4, 8, 16, 32, RESTS_MAX, RESTS_MAX, RESTS_MAX]
    machine.troubles.clear()
    while not run(host, BAD)[0]:
        pass
    machine.troubles[BAD] = Unable("it hangs")
    assert run(host, BAD) == [False]
    machine.troubles.clear()
    assert [run(host, BAD)[0] for _ in range(2)] == [False, True]


def test_a_model_whose_file_is_missing_holds_up_no_other() -> None:
    machine = Machine()
    machine.troubles[BAD] = NotHere("nobody gives it")
    host = GivingUp(machine)
    assert run(host, BAD, GOOD, BAD, GOOD) == [False, True, False, True]
    machine.troubles.clear()
    assert run(host, BAD, GOOD) == [True, True]


def test_an_executor_in_trouble_does_not_judge_and_agrees_later(deployed: Deployed) -> None:
    chain = deployed.chain
    block, executed = chain.block([chain.sign(ALICE, deployed.infer())])
    deployed.host.is_unable = True
    with pytest.raises(Unable):
        chain.runtime.execute_block(chain.state, block)
    with pytest.raises(Unable):
        Runtime().execute_block(chain.state, block)
    deployed.host.is_unable = False
    assert chain.runtime.execute_block(chain.state, block) == executed
