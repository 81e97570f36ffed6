"""A world with four validators who answer jobs, and a model that they find exact."""

from collections.abc import Callable, Iterable

from frame.origin import Nobody, Signed
from frame.validators import Validator
from inference.certificate import ExactnessCertificate, PortSpec, Scale, encode_inputs, encode_verdict
from inference.refusal import Refusal
from inference.tensor import Tensor, from_integers
from pallets.models.pallet import ModelInfo, model_id
from primitives.block import GENESIS_PARENT
from primitives.hashing import blake2b_256
from primitives.job_message import (
    Commit,
    JobPhase,
    Reveal,
    commitment_of,
    result_digest,
    sign_abstain,
    sign_commit,
    sign_reveal,
)
from primitives.signing import SigningKey
from primitives.types import AccountId, Balance, Hash, Seed, Stake
from runtime.constants import GAS, TOKEN
from tests.pallets.world import ALICE, World

GENESIS = GENESIS_PARENT
"""What the world takes for the hash of block 0."""

KEYS = tuple(SigningKey(Seed(bytes([200 + index]) * 32)) for index in range(4))
SEATS = tuple(AccountId(bytes([100 + index]) * 32) for index in range(4))
BLOB = Hash(b"\xb1" * 32)
SIZE = 2_000
PRICE = Balance(TOKEN)
MODEL = model_id(ALICE, BLOB)
RESULT = b"a result"


def _port(name: str, dtype: str, shape: tuple[int, ...], low: int, high: int) -> PortSpec:
    one = Scale(numerator=1, denominator=1)
    return PortSpec(name=name, dtype=dtype, shape=shape, low=low, high=high, scales=(one,), zero_points=(0,))


CERTIFICATE = ExactnessCertificate(
    model_hash=b"\xe1" * 32,
    inputs=(_port("features", "int16", (1, 3), -100, 100),),
    outputs=(_port("scores", "int32", (1, 2), -5000, 5000), _port("label", "int64", (1,), 0, 1)),
    attested=(0,),
    bounds_digest=bytes(32),
    size_bytes=SIZE,
    nodes=3,
    macs=1_000,
    elements=10,
    peak_bytes=4_000,
    gas=1_000_000,
)
VERDICT = encode_verdict(CERTIFICATE)
REFUSAL = encode_verdict(Refusal(node="node 3", reason="it may overflow"))


def features(*values: int, dtype: str = "int16") -> Tensor:
    """An input of the model."""
    return from_integers(dtype, (1, len(values)), values)


INPUT = encode_inputs(CERTIFICATE, [features(1, -2, 3)])


def salt_of(seat: int) -> bytes:
    """The salt of a seat, the same for every job."""
    return bytes([seat]) * 32


def commit_of(seat: int, job: Hash, result: bytes = RESULT) -> Commit:
    """The commitment of a seat to a result."""
    key = KEYS[seat]
    digest = result_digest(result)
    return sign_commit(key, GENESIS, job, commitment_of(GENESIS, job, key.public_key, digest, salt_of(seat)))


def reveal_of(seat: int, job: Hash, result: bytes = RESULT) -> Reveal:
    """What opens `commit_of`."""
    return sign_reveal(KEYS[seat], GENESIS, job, result_digest(result), salt_of(seat))


class Attested(World):
    """Four validators with equal stakes, or those given; Alice, Bob and Charlie have 1,000 tokens each."""

    def __init__(self, stakes: Iterable[int] = (1, 1, 1, 1)) -> None:
        super().__init__(
            tuple(
                Validator(account, key.public_key, Stake(stake))
                for account, key, stake in zip(SEATS, KEYS, stakes, strict=False)
            )
        )

    def end_block(self) -> None:
        """Run the hooks, keep the block, begin the next."""
        self.finalize()
        self.next_block()

    def pass_blocks_until(self, holds: Callable[[], bool]) -> None:
        """End blocks until something holds."""
        for _ in range(1000):
            if holds():
                return
            self.end_block()
        raise AssertionError("it never held")

    def register(self, owner: AccountId = ALICE, size_bytes: int = SIZE) -> Hash:
        """Register the model; its job."""
        self.pallets.models.register(Signed(owner), BLOB, size_bytes, "diagnosis", PRICE)
        return self.info(model_id(owner, BLOB)).model.job

    def info(self, model: Hash = MODEL) -> ModelInfo:
        """What the chain says of a model that there is."""
        info = self.pallets.models.get(model)
        assert info is not None
        return info

    def phase(self, job: Hash) -> JobPhase | None:
        """What a job waits for; None if it is closed."""
        found = self.pallets.jobs.get(job)
        return None if found is None else found.phase

    def commit(self, job: Hash, results: dict[int, bytes]) -> None:
        """Have some seats commit, each to its result."""
        for seat, result in results.items():
            self.pallets.jobs.commit(Nobody(), commit_of(seat, job, result))

    def abstain(self, job: Hash, *seats: int) -> None:
        """Have some seats abstain."""
        for seat in seats:
            self.pallets.jobs.abstain(Nobody(), sign_abstain(KEYS[seat], GENESIS, job))

    def cannot_open(self, job: Hash, *seats: int) -> None:
        """Have some seats say that they cannot open the input."""
        for seat in seats:
            message = sign_abstain(KEYS[seat], GENESIS, job, cannot_open=True)
            self.pallets.jobs.abstain(Nobody(), message)

    def reveal(self, job: Hash, results: dict[int, bytes]) -> None:
        """Have some seats reveal, each its result."""
        for seat, result in results.items():
            known = self.pallets.jobs.results.find(job, result_digest(result)) is not None
            self.pallets.jobs.reveal(Nobody(), reveal_of(seat, job, result), None if known else result)

    def attest(self, job: Hash, results: dict[int, bytes]) -> None:
        """Let the named seats commit and reveal, and the job come to its end."""
        self.commit(job, results)
        self.close_commits(job)
        self.reveal(job, results)
        self.pass_blocks_until(lambda: self.phase(job) is None)

    def close_commits(self, job: Hash) -> None:
        """Let the commitments of a job close."""
        self.pass_blocks_until(lambda: self.phase(job) is not JobPhase.COMMIT)

    def settle(self) -> None:
        """Let the time pass in which results can be challenged."""
        self.pass_blocks_until(lambda: not list(self.pallets.disputes.past.items()))

    def prove(self, owner: AccountId = ALICE) -> Hash:
        """Register the model and have everybody find it exact; its identity."""
        self.attest(self.register(owner), dict.fromkeys(range(4), VERDICT))
        return model_id(owner, BLOB)

    def request(self, who: AccountId = ALICE, model: Hash = MODEL) -> Hash:
        """Ask for an inference; its job."""
        before = {job for job, _ in self.pallets.inference.requests.items()}
        self.pallets.inference.request(Signed(who), model, INPUT, Balance(2 * TOKEN))
        (job,) = {job for job, _ in self.pallets.inference.requests.items()} - before
        return job


def slot_fee(input_bytes: int) -> int:
    """What the place of a job costs as long as root has said nothing."""
    return GAS.slot_initial.per_job + input_bytes * GAS.slot_initial.per_byte


def input_hash() -> Hash:
    """What a record names INPUT by."""
    return blake2b_256(INPUT)
