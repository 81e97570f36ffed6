"""The core among peers of every kind, in simulated time: with one honest peer it always gets there."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from node.network.identity import PeerId
from node.sync.core import (
    AHEAD_BYTES_MAX,
    QUESTIONS_MAX,
    Action,
    Answered,
    Ask,
    Failed,
    Import,
    Imported,
    Observed,
    Peers,
    Premature,
    Prove,
    Proved,
    Refused,
    Settle,
    SyncCore,
    Unproved,
)
from node.sync.messages import ANSWER_BYTES_MAX, Request, decode_answer
from node.sync.service import TIMEOUT_S
from node.sync.serving import collect
from primitives.types import BlockNumber
from tests.node.sync.samples import FORGED, Source, chain_of, is_proved

LENGTH: Final = 1200
EPOCH_BLOCKS: Final = 150
BLOCKS: Final = chain_of(LENGTH, epoch_blocks=EPOCH_BLOCKS)
SEEDS: Final = 60
DEADLINE_S: Final = 600.0
"""Far more than any of them needs: what counts is that it ends."""


@dataclass
class Peer:
    """Somebody who answers in one of many ways."""

    kind: str
    claim: int
    source: Source
    delay_s: float
    is_here: bool = True


KINDS: Final[dict[str, Callable[[random.Random, int], Peer]]] = {
    "slow": lambda chance, every: Peer("slow", LENGTH, Source(BLOCKS, every), chance.uniform(3, 9)),
    "pruned": lambda chance, every: Peer(
        "pruned", LENGTH, Source(BLOCKS, every, lowest=chance.randint(1, LENGTH)), 0.05
    ),
    "behind": lambda chance, every: Peer(
        "behind", LENGTH // 3, Source(BLOCKS[: LENGTH // 3 + 1], every), 0.05
    ),
    "forger": lambda chance, every: Peer("forger", LENGTH, Source(BLOCKS, every, FORGED), 0.01),
    "garbler": lambda chance, every: Peer("garbler", LENGTH, Source(BLOCKS, every), 0.01),
    "silent": lambda chance, every: Peer("silent", LENGTH, Source(BLOCKS, every), TIMEOUT_S),
    "boaster": lambda chance, every: Peer("boaster", 10**9, Source(BLOCKS, every), TIMEOUT_S),
    "dripper": lambda chance, every: Peer("dripper", LENGTH, Source(BLOCKS, every), TIMEOUT_S - 0.1),
    "flighty": lambda chance, every: Peer("flighty", LENGTH, Source(BLOCKS, every), 0.2),
}
LIARS: Final = {"forger", "garbler"}


@dataclass
class World:
    """One node that is behind, its peers, and the time."""

    chance: random.Random
    peers: dict[PeerId, Peer]
    core: SyncCore
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], Observed]]] = field(default_factory=list)
    asked: dict[PeerId, Ask] = field(default_factory=dict)
    lies: Counter[str] = field(default_factory=Counter)
    importing: bool = False
    numbered: int = 0

    def run(self) -> None:
        """Until the node has caught up with the honest peer."""
        self.after(0, self.tick)
        while self.core.height < LENGTH:
            self.now, _, event = heapq.heappop(self.events)
            assert self.now < DEADLINE_S, f"stuck at {self.core.height}"
            for action in self.core.handle(event(), self.now):
                self.perform(action)
            self.check()

    def check(self) -> None:
        """What holds at any moment."""
        window = self.core._window
        assert len(self.asked) <= QUESTIONS_MAX
        assert window.held_bytes + len(self.asked) * ANSWER_BYTES_MAX <= AHEAD_BYTES_MAX + ANSWER_BYTES_MAX
        assert all(count <= 2 for count in self.lies.values()), "a liar is asked again"

    def after(self, delay_s: float, event: Callable[[], Observed]) -> None:
        self.numbered += 1
        heapq.heappush(self.events, (self.now + delay_s, self.numbered, event))

    def tick(self) -> Observed:
        for peer in self.peers.values():
            if peer.kind == "flighty":
                peer.is_here = self.chance.random() < 0.5
        self.after(1, self.tick)
        here = [(name, BlockNumber(peer.claim)) for name, peer in self.peers.items() if peer.is_here]
        return Peers(tuple(here))

    def perform(self, action: Action) -> None:
        match action:
            case Ask(peer):
                assert peer not in self.asked
                self.asked[peer] = action
                self.after(self.peers[peer].delay_s, lambda: self.answer(action))
            case Prove():
                self.after(0.01, lambda: self.prove(action))
            case Import(runs):
                assert not self.importing
                assert runs[0].first <= self.core.height + 1
                assert runs[-1].is_whole
                self.importing = True
                self.after(0.1, lambda: self.take(action))
            case Settle():
                pass

    def answer(self, ask: Ask) -> Observed:
        del self.asked[ask.peer]
        peer = self.peers[ask.peer]
        if not peer.is_here or peer.kind in ("silent", "boaster"):
            return Failed(ask.peer, lied=False)
        if peer.kind == "garbler":
            self.lies[ask.peer] += 1
            return Failed(ask.peer, lied=True)
        last = ask.first if peer.kind == "dripper" else ask.last
        data = collect(peer.source, Request(ask.first, last), BlockNumber(len(peer.source.blocks) - 1))
        return Answered(ask.peer, decode_answer(data, Request(ask.first, ask.last)), len(data))

    def prove(self, prove: Prove) -> Observed:
        first = prove.runs[0].first
        until = self.core.height // EPOCH_BLOCKS * EPOCH_BLOCKS + EPOCH_BLOCKS
        if first > until:
            return Premature(prove.peer, first, BlockNumber(until))
        if is_proved(prove.runs):
            return Proved(prove.peer, first)
        self.lies[prove.peer] += 1
        return Unproved(prove.peer, first, lied=True)

    def take(self, action: Import) -> Observed:
        self.importing = False
        if self.chance.random() < 0.1:
            return Refused(for_ever=False)
        return Imported(action.runs[-1].last)


@pytest.mark.parametrize("first_seed", range(0, SEEDS, 10))
def test_one_honest_peer_among_any_others_is_enough(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 10):
        chance = random.Random(seed)
        every = chance.choice([1, 1, 7, 140])
        peers = {
            PeerId(f"{kind}-{seed}"): KINDS[kind](chance, every) for kind in chance.sample(sorted(KINDS), 6)
        }
        peers[PeerId("honest")] = Peer("honest", LENGTH, Source(BLOCKS, every), 0.1)
        names = list(peers)
        chance.shuffle(names)
        try:
            World(chance, {name: peers[name] for name in names}, SyncCore(BlockNumber(0), 0)).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
