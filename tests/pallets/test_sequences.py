"""Any sequence of calls and of pallets' own operations keeps every invariant, block after block."""

import contextlib
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from frame.error import DispatchError
from frame.origin import Nobody, Root, Signed
from primitives.types import AccountId, Balance
from tests.pallets.world import DEPOSIT, PEOPLE, START, World

WHO = st.sampled_from(PEOPLE)
ORIGINS = st.one_of(WHO.map(Signed), st.just(Root()), st.just(Nobody()))
REASONS = st.sampled_from(["test.one", "test.two"])
AMOUNTS = st.one_of(
    st.integers(0, 3 * DEPOSIT),
    st.integers(START - 2 * DEPOSIT, START + 2 * DEPOSIT),
    st.sampled_from([0, DEPOSIT - 1, DEPOSIT, START, 2**63 - 1]),
).map(Balance)


class Sequences(RuleBasedStateMachine):
    """Every call of every pallet, and what other pallets do through Currency."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def attempt(self, method: Any, *arguments: Any) -> None:
        """A refusal must leave no trace."""
        before = self.world.pallets.context.overlay.changes()
        try:
            method(*arguments)
        except DispatchError:
            assert self.world.pallets.context.overlay.changes() == before

    @rule(origin=ORIGINS, to=WHO, amount=AMOUNTS)
    def transfer(self, origin: Any, to: AccountId, amount: Balance) -> None:
        self.attempt(self.world.pallets.balances.transfer, origin, to, amount)

    @rule(origin=ORIGINS, to=WHO, keep_alive=st.booleans())
    def transfer_all(self, origin: Any, to: AccountId, keep_alive: bool) -> None:
        self.attempt(self.world.pallets.balances.transfer_all, origin, to, keep_alive)

    @rule(origin=ORIGINS, source=WHO, to=WHO, amount=AMOUNTS)
    def force_transfer(self, origin: Any, source: AccountId, to: AccountId, amount: Balance) -> None:
        self.attempt(self.world.pallets.balances.force_transfer, origin, source, to, amount)

    @rule(origin=ORIGINS, text=st.binary(max_size=3))
    def remark(self, origin: Any, text: bytes) -> None:
        self.attempt(self.world.pallets.system.remark, origin, text)

    @rule(reason=REASONS, who=WHO, amount=AMOUNTS)
    def hold(self, reason: str, who: AccountId, amount: Balance) -> None:
        self.attempt(self.world.pallets.balances.hold, reason, who, amount)

    @rule(reason=REASONS, who=WHO, part=st.integers(0, 4))
    def release(self, reason: str, who: AccountId, part: int) -> None:
        held = self.world.pallets.balances.held(reason, who)
        if held:
            self.world.pallets.balances.release(reason, who, Balance(held * part // 4))

    @rule(reason=REASONS, who=WHO, to=WHO, part=st.integers(0, 4))
    def move_held(self, reason: str, who: AccountId, to: AccountId, part: int) -> None:
        held = self.world.pallets.balances.held(reason, who)
        if held:
            self.world.pallets.balances.move_held(reason, who, to, Balance(held * part // 4))

    @rule(reason=REASONS, who=WHO, amount=AMOUNTS)
    def freeze(self, reason: str, who: AccountId, amount: Balance) -> None:
        self.attempt(self.world.pallets.balances.freeze, reason, who, amount)

    @rule(who=WHO, fee=AMOUNTS)
    def charge(self, who: AccountId, fee: Balance) -> None:
        account = self.world.pallets.system.account(who)
        if account is not None and fee <= self.world.pallets.balances.spendable(who):
            self.world.pallets.fees.charge(who, account, fee)
            self.world.pallets.fees.on_finalize()

    @rule(who=WHO, to=WHO, amount=AMOUNTS)
    def withdraw_and_settle(self, who: AccountId, to: AccountId, amount: Balance) -> None:
        with contextlib.suppress(DispatchError):
            self.world.pallets.balances.withdraw(who, amount)
            self.world.pallets.balances.settle(to, amount)

    @rule()
    def next_block(self) -> None:
        self.world.finalize()
        self.world.next_block()

    @invariant()
    def every_invariant_holds(self) -> None:
        self.world.check_state()


Sequences.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSequences = Sequences.TestCase
