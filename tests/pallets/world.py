"""All pallets over a state in a dictionary, for tests of one of them."""

from collections.abc import Sequence
from dataclasses import replace

from frame.context import BlockContext, Context
from frame.host import HostFunctions
from frame.state import DictState, Overlay
from frame.validators import Validator
from pallets import session, system
from primitives.block import GENESIS_PARENT
from primitives.types import (
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    EpochIndex,
    PublicKey,
    Stake,
    TimestampMs,
)
from runtime.constants import BALANCES, DISPUTES, SPEC_VERSION, TOKEN
from runtime.genesis import Endowment, GenesisConfig
from runtime.pallets import Pallets
from runtime.runtime import NoHost, Runtime

PEOPLE = tuple(AccountId(bytes([index]) * 32) for index in range(1, 7))
ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE = PEOPLE
AUTHOR_KEY = PublicKey(b"\xa1" * 32)
DEPOSIT = BALANCES.existential_deposit
START = Balance(1000 * TOKEN)


class World:
    """Alice, Bob and Charlie have 1,000 tokens each, and Alice validates."""

    def __init__(self, validators: Sequence[Validator] = (Validator(ALICE, AUTHOR_KEY, Stake(1)),)) -> None:
        """At height 1, before any call; the first validator is the author, until another one is named."""
        config = GenesisConfig(
            system=system.Genesis(SPEC_VERSION, ""),
            timestamp_ms=TimestampMs(1000),
            balances=tuple(Endowment(who, START) for who in (ALICE, BOB, CHARLIE)),
            session=session.Genesis(
                session.Consensus(session.Engine.SIMPLEX, 500, 200, 10), tuple(validators)
            ),
            sudo=ALICE,
        )
        self.state = DictState()
        self.state.apply(Runtime().build_genesis(config))
        self.height = 0
        self.host: HostFunctions = NoHost()
        self.window_blocks = DISPUTES.window_blocks
        """In which results can be challenged."""

        self.author = validators[0].key
        self.pallets = self.next_block()

    def next_block(self, timestamp_ms: int | None = None, author: PublicKey | None = None) -> Pallets:
        """Keep what the last block wrote, and begin one more."""
        self.author = author or self.author
        if self.height:
            self.state.apply(self.pallets.context.overlay.changes())
        self.height += 1
        parent = BlockHash(self.height.to_bytes(32, "big")) if self.height > 1 else GENESIS_PARENT
        block = BlockContext(
            epoch=EpochIndex((self.height - 1) // 10 + 1),
            height=BlockNumber(self.height),
            parent=parent,
            timestamp_ms=TimestampMs(1000 + 500 * self.height if timestamp_ms is None else timestamp_ms),
            author=self.author,
        )
        self.pallets = Pallets(Context(Overlay(self.state), block, self.host))
        self.pallets.disputes.config = replace(DISPUTES, window_blocks=self.window_blocks)
        for pallet in self.pallets.by_index.values():
            pallet.on_initialize()
        self.pallets.context.take_events()
        return self.pallets

    def check_state(self) -> None:
        """Every invariant of every pallet."""
        for pallet in self.pallets.by_index.values():
            pallet.check_state()

    def finalize(self) -> None:
        """Run the hooks after the calls."""
        for pallet in self.pallets.by_index.values():
            pallet.on_finalize()

    def events(self) -> list[str]:
        """Names of the events since this was last asked."""
        return [event.event for event in self.pallets.context.take_events()]

    def free(self, who: AccountId) -> int:
        """Free balance."""
        return self.pallets.balances.account(who).free
