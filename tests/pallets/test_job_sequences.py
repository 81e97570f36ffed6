"""Any sequence of registrations, requests and messages, valid or not, keeps every invariant."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from frame.error import DispatchError, Unable
from frame.origin import Nobody, Root, Signed
from inference.certificate import encode_inputs, encode_outputs
from inference.evaluation import Metric
from inference.tensor import from_integers
from pallets.evaluation.pallet import dataset_id
from pallets.inference.types import STORED_BYTES_MAX
from pallets.models.pallet import model_id
from primitives.job_message import STORED_OUTPUT, StoredOutput, result_digest, sign_abstain
from primitives.sealing import panel_digest
from primitives.types import AccountId, Balance, Hash
from runtime.constants import TOKEN
from tests.pallets.attested import (
    BLOB,
    CERTIFICATE,
    GENESIS,
    INPUT,
    KEYS,
    REFUSAL,
    SIZE,
    VERDICT,
    Attested,
    commit_of,
    features,
    reveal_of,
)
from tests.pallets.attested import SEATS as PANEL
from tests.pallets.test_instant import Host
from tests.pallets.world import ALICE, BOB, CHARLIE, DAVE

WHO = st.sampled_from([ALICE, ALICE, BOB, BOB, CHARLIE, DAVE])
OWNERS = st.sampled_from([ALICE, BOB])
SEATS = st.integers(0, 3)
NAMED = STORED_OUTPUT.encode(StoredOutput(BLOB, 60))
OUTPUT = encode_outputs(
    CERTIFICATE, [from_integers("int32", (1, 2), [-7, 40]), from_integers("int64", (1,), [1])]
)
RESULTS = st.sampled_from([VERDICT, VERDICT, OUTPUT, OUTPUT, NAMED, REFUSAL, b"nonsense", b""])
PRICES = st.sampled_from([0, TOKEN]).map(Balance)
FEES = st.sampled_from([0, 10 * TOKEN, 10 * TOKEN, 10 * TOKEN]).map(Balance)
INPUTS = st.sampled_from(
    [INPUT, INPUT, INPUT, INPUT, b"nonsense", encode_inputs(CERTIFICATE, [features(0, 0, 101)])]
)
WHICH = st.integers(0, 7)
DATASETS = st.sampled_from([Hash(bytes([index]) * 32) for index in range(2)])


class Sequences(RuleBasedStateMachine):
    """Every call and inherent of what opens and does jobs, over four validators of unequal stake."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Attested((5, 4, 3, 2))
        for seat in PANEL:
            self.world.pallets.balances.move(ALICE, seat, Balance(2 * TOKEN))
        self.world.window_blocks = 30
        self.world.prove()
        self.host = self.world.host = Host()

    def attempt(self, method: Any, *arguments: Any) -> None:
        """A refusal must leave no trace."""
        before = self.world.pallets.context.overlay.changes()
        try:
            method(*arguments)
        except (DispatchError, Unable):
            assert self.world.pallets.context.overlay.changes() == before

    def job(self, which: int) -> Hash:
        """An open job, or none."""
        jobs = [job for job, _ in self.world.pallets.jobs.jobs.items()]
        return jobs[which % len(jobs)] if jobs else Hash(bytes(32))

    @rule(owner=WHO, price=PRICES)
    def register(self, owner: AccountId, price: Balance) -> None:
        self.attempt(self.world.pallets.models.register, Signed(owner), BLOB, SIZE, "model", price)

    @rule(who=st.sampled_from([BOB, CHARLIE, DAVE]), owner=OWNERS)
    def suspend(self, who: AccountId, owner: AccountId) -> None:
        self.attempt(self.world.pallets.models.suspend, Signed(who), model_id(owner, BLOB))

    @rule(who=WHO, owner=OWNERS)
    def remove(self, who: AccountId, owner: AccountId) -> None:
        self.attempt(self.world.pallets.models.remove, Signed(who), model_id(owner, BLOB))

    @rule(is_root=st.booleans(), price=st.sampled_from([0, 1, 500_000, TOKEN, 2 * TOKEN]).map(Balance))
    def set_price(self, is_root: bool, price: Balance) -> None:
        self.attempt(self.world.pallets.gas.set_price, Root() if is_root else Signed(ALICE), price)

    @rule(
        is_root=st.booleans(),
        per_job=st.sampled_from([0, 1, 10_000_000, 2_000 * TOKEN]).map(Balance),
        per_byte=st.sampled_from([0, 10, 2 * TOKEN]).map(Balance),
    )
    def set_slot_prices(self, is_root: bool, per_job: Balance, per_byte: Balance) -> None:
        origin = Root() if is_root else Signed(ALICE)
        self.attempt(self.world.pallets.gas.set_slot_prices, origin, per_job, per_byte)

    @rule(who=WHO, owner=OWNERS, data=INPUTS, max_fee=FEES)
    def request(self, who: AccountId, owner: AccountId, data: bytes, max_fee: Balance) -> None:
        model = model_id(owner, BLOB)
        self.attempt(self.world.pallets.inference.request, Signed(who), model, data, max_fee)

    @rule(who=WHO, owner=OWNERS, size_bytes=st.sampled_from([0, 5_000, STORED_BYTES_MAX]), max_fee=FEES)
    def request_stored(self, who: AccountId, owner: AccountId, size_bytes: int, max_fee: Balance) -> None:
        arguments = (model_id(owner, BLOB), BLOB, size_bytes, max_fee)
        self.attempt(self.world.pallets.inference.request_stored, Signed(who), *arguments)

    @rule(who=WHO, owner=OWNERS, is_right=st.booleans(), is_sealed=st.booleans(), max_fee=FEES)
    def request_private(
        self, who: AccountId, owner: AccountId, is_right: bool, is_sealed: bool, max_fee: Balance
    ) -> None:
        keys = [reader.key for reader in self.world.pallets.sealing.readers()]
        panel = panel_digest(keys) if is_right else BLOB
        arguments = (model_id(owner, BLOB), BLOB, BLOB, 300, panel, is_sealed, max_fee)
        self.attempt(self.world.pallets.inference.request_private, Signed(who), *arguments)

    @rule(who=OWNERS, owner=OWNERS)
    def deploy(self, who: AccountId, owner: AccountId) -> None:
        self.attempt(self.world.pallets.instant.deploy, Signed(who), model_id(owner, BLOB))

    @rule(who=WHO, owner=OWNERS, data=INPUTS, max_price=PRICES, is_unable=st.booleans())
    def infer_now(
        self, who: AccountId, owner: AccountId, data: bytes, max_price: Balance, is_unable: bool
    ) -> None:
        self.host.is_unable = is_unable
        arguments = (model_id(owner, BLOB), data, CERTIFICATE.gas, max_price)
        self.attempt(self.world.pallets.instant.infer_now, Signed(who), *arguments)

    @rule(who=WHO, blob=DATASETS)
    def register_dataset(self, who: AccountId, blob: Hash) -> None:
        register = self.world.pallets.evaluation.register_dataset
        self.attempt(register, Signed(who), blob, 5_000, 10, "data", BLOB)

    @rule(who=WHO, registrant=WHO, blob=DATASETS)
    def remove_dataset(self, who: AccountId, registrant: AccountId, blob: Hash) -> None:
        self.attempt(self.world.pallets.evaluation.remove_dataset, Signed(who), dataset_id(registrant, blob))

    @rule(who=WHO, owner=OWNERS, registrant=WHO, blob=DATASETS, metric=st.sampled_from(Metric), max_fee=FEES)
    def evaluate(
        self,
        who: AccountId,
        owner: AccountId,
        registrant: AccountId,
        blob: Hash,
        metric: Metric,
        max_fee: Balance,
    ) -> None:
        arguments = (model_id(owner, BLOB), dataset_id(registrant, blob), metric, max_fee)
        self.attempt(self.world.pallets.evaluation.evaluate, Signed(who), *arguments)

    @rule(who=st.sampled_from([*PANEL, ALICE]), key=st.sampled_from([b"\x01" * 32, b"\x02" * 32]))
    def set_sealing_key(self, who: AccountId, key: bytes) -> None:
        self.attempt(self.world.pallets.sealing.set_key, Signed(who), key)

    @rule(who=st.sampled_from([*PANEL, ALICE]))
    def remove_sealing_key(self, who: AccountId) -> None:
        self.attempt(self.world.pallets.sealing.remove_key, Signed(who))

    @rule(which=WHICH, seat=SEATS, result=RESULTS)
    def commit(self, which: int, seat: int, result: bytes) -> None:
        self.attempt(self.world.pallets.jobs.commit, Nobody(), commit_of(seat, self.job(which), result))

    @rule(which=WHICH, seat=SEATS, cannot_open=st.booleans())
    def abstain(self, which: int, seat: int, cannot_open: bool) -> None:
        message = sign_abstain(KEYS[seat], GENESIS, self.job(which), cannot_open=cannot_open)
        self.attempt(self.world.pallets.jobs.abstain, Nobody(), message)

    @rule(which=WHICH, seat=SEATS, result=RESULTS, brings=st.booleans())
    def reveal(self, which: int, seat: int, result: bytes, brings: bool) -> None:
        message = reveal_of(seat, self.job(which), result)
        self.attempt(self.world.pallets.jobs.reveal, Nobody(), message, result if brings else None)

    @rule(
        which=WHICH,
        results=st.one_of(RESULTS.map(lambda result: [result] * 4), st.lists(RESULTS, max_size=4)),
    )
    def answer(self, which: int, results: list[bytes]) -> None:
        """Seats commit and reveal together, as far as the chain lets them."""
        job = self.job(which)
        for seat, result in enumerate(results):
            self.attempt(self.world.pallets.jobs.commit, Nobody(), commit_of(seat, job, result))
        self.world.end_block()
        jobs = self.world.pallets.jobs
        for seat, result in enumerate(results):
            brought = jobs.results.find(job, result_digest(result)) is not None
            message = reveal_of(seat, job, result)
            self.attempt(jobs.reveal, Nobody(), message, None if brought else result)

    @rule(which=WHICH, seat=SEATS)
    def speak_with_another_origin(self, which: int, seat: int) -> None:
        self.attempt(self.world.pallets.jobs.commit, Root(), commit_of(seat, self.job(which)))

    @rule(who=WHO, which=WHICH, max_bond=FEES)
    def challenge(self, who: AccountId, which: int, max_bond: Balance) -> None:
        past = [job for job, _ in self.world.pallets.disputes.past.items()]
        job = past[which % len(past)] if past else Hash(bytes(32))
        self.attempt(self.world.pallets.disputes.challenge, Signed(who), job, max_bond)

    @rule(blocks=st.sampled_from([1, 1, 1, 2, 40, 100]))
    def pass_blocks(self, blocks: int) -> None:
        for _ in range(blocks):
            self.world.end_block()

    @invariant()
    def every_invariant_holds(self) -> None:
        self.world.check_state()


Sequences.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSequences = Sequences.TestCase
