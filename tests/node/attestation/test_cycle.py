"""Whole jobs: four validators and the real pallets, over a network that loses messages."""

import random

import pytest

from frame.origin import Nobody
from inference.certificate import encode_outputs
from inference.tensor import from_integers
from node.attestation.core import (
    AttestationCore,
    Compute,
    Computed,
    Finalized,
    Input,
    Persist,
    Tell,
    Trouble,
    Word,
)
from node.attestation.messages import Told
from node.attestation.pool import MessagePool, Verdict
from pallets.models.pallet import ModelState
from primitives.signing import verify
from primitives.types import BlockNumber, Hash, Seed
from runtime.jobs import OpenJob, ProveTask, open_jobs
from tests.node.attestation.jobs import seeds_of
from tests.pallets.attested import CERTIFICATE, GENESIS, MODEL, VERDICT, Attested

OUTPUT = encode_outputs(
    CERTIFICATE, [from_integers("int32", (1, 2), [-7, 40]), from_integers("int64", (1,), [1])]
)


class Node:
    """One validator: its duties, its pool, what it keeps."""

    def __init__(self, index: int, lie: bytes | Trouble | None = None) -> None:
        self.seed = Seed(bytes([200 + index]) * 32)
        self.lie = lie
        self.disk: dict[Hash, Word] = {}
        self.restart()

    def restart(self) -> None:
        """Forget all but what was kept."""
        self.core = AttestationCore(seeds_of(self.seed), GENESIS, self.disk.values())
        self.pool = MessagePool(GENESIS, verify)

    def observe(self, observed: Input) -> list[Told]:
        """What the node tells; it computes at once."""
        if isinstance(observed, Finalized):
            self.pool.update(observed.jobs)
        told: list[Told] = []
        for action in self.core.handle(observed):
            match action:
                case Persist(word):
                    self.disk[word.job] = word
                case Tell(message):
                    assert self.pool.offer(message) in (Verdict.NEW, Verdict.KNOWN)
                    told.append(message)
                case Compute(job):
                    told += self.observe(Computed(job.id, self.answer(job)))
        return told

    def answer(self, job: OpenJob) -> bytes | Trouble:
        """What its worker finds."""
        if self.lie is not None:
            return self.lie
        return VERDICT if isinstance(job.task, ProveTask) else OUTPUT


def grow(world: Attested, nodes: list[Node], chance: random.Random) -> None:
    """Tell of the newest block, lose some of what is said about it, and make the next one."""
    height = BlockNumber(world.height - 1)
    jobs = open_jobs(world.pallets)
    for node in nodes:
        for told in node.observe(Finalized(height, jobs)):
            for other in nodes:
                if other is not node and chance.random() < 0.5:
                    assert other.pool.offer(told) is not Verdict.FORGED
    author = nodes[world.height % len(nodes)]
    for call in author.pool.inherents(open_jobs(world.pallets)):
        declaration, arguments = world.pallets.find(call)
        assert world.pallets.run(Nobody(), call, declaration, arguments) is None
    world.end_block()
    world.check_state()
    if chance.random() < 0.1:
        nodes[chance.randrange(len(nodes))].restart()


@pytest.mark.parametrize("seed", range(5))
def test_honest_validators_prove_and_infer_through_loss_and_restarts(seed: int) -> None:
    world, nodes, chance = Attested(), [Node(index) for index in range(4)], random.Random(seed)
    world.register()
    while world.info().model.state is ModelState.DRAFT:
        grow(world, nodes, chance)
    assert world.info().model.state is ModelState.PROVEN
    job = world.request()
    while world.pallets.inference.pending(job) is not None:
        grow(world, nodes, chance)
    record = world.pallets.inference.receipt(job)
    assert record is not None
    assert (record.output, record.classes, record.agreed_stake) == (OUTPUT, (1,), 4)
    assert all(not node.pool.inherents(open_jobs(world.pallets)) for node in nodes)
    grow(world, nodes, chance)
    assert all(len(node.pool) == 0 for node in nodes)


@pytest.mark.parametrize(
    ("lies", "state"),
    [
        ({3: b"a lie"}, ModelState.PROVEN),
        ({3: Trouble.UNABLE}, ModelState.PROVEN),
        ({2: Trouble.UNABLE, 3: Trouble.UNABLE}, ModelState.UNPROVEN),
        ({2: b"a lie", 3: b"a lie"}, ModelState.UNPROVEN),
        (dict.fromkeys(range(4), Trouble.UNABLE), ModelState.UNPROVEN),
    ],
)
def test_the_model_is_usable_only_with_more_than_two_thirds(
    lies: dict[int, bytes | Trouble], state: ModelState
) -> None:
    world, nodes = Attested(), [Node(index, lies.get(index)) for index in range(4)]
    world.register()
    while world.info().model.state is ModelState.DRAFT:
        grow(world, nodes, random.Random(7))
    assert world.info(MODEL).model.state is state
