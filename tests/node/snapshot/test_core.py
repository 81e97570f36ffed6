"""Whom a joining node asks for what: whatever the others do, one honest peer is enough."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from node.network.identity import PeerId
from node.snapshot.core import (
    ABANDON_S,
    OPEN_MAX,
    OPEN_PER_PEER_MAX,
    PATIENCE_S,
    SPLIT_DEPTH_MAX,
    Action,
    Ask,
    AskChunk,
    AskEpochs,
    AskOffer,
    Failed,
    Finish,
    JoinCore,
    Mark,
    NotHeld,
    Observed,
    Offered,
    Peers,
    Proved,
    Stored,
)
from node.snapshot.messages import Offer
from primitives.state_range import WHOLE, Part, StateRange
from primitives.types import BlockNumber, EpochIndex, Hash

ALICE, BOB = PeerId("alice"), PeerId("bob")
FIRST = BlockNumber(64)
PART = Part(2, Hash(b"\x01" * 32))


def core_with(*marks: Mark, ends: int = 0) -> JoinCore:
    proved = deque(BlockNumber(FIRST * (index + 1)) for index in range(ends))
    return JoinCore(FIRST, EpochIndex(1 + ends), proved, {mark.range_: mark for mark in marks})


def offer(*heights: int, finalized: int = 1000, epoch: int = 2) -> Offer:
    return Offer(BlockNumber(finalized), EpochIndex(epoch), tuple(BlockNumber(height) for height in heights))


def only(actions: list[Action], kind: type[Ask]) -> list[Ask]:
    return [action for action in actions if isinstance(action, kind)]


def begun(core: JoinCore, *peers: PeerId, now: float = 100.0) -> list[Action]:
    """The actions once all peers have offered the first state and its epoch is proved."""
    actions = core.handle(Peers(peers), now)
    assert actions == [AskOffer(peer) for peer in peers]
    for peer in peers:
        core.handle(Offered(AskOffer(peer), offer(FIRST)), now)
    ask = AskEpochs(peers[0], EpochIndex(1))
    assert core._open_epochs == ask
    return core.handle(Proved(ask, EpochIndex(2), (FIRST,)), now)


def test_committees_come_before_the_state_and_the_state_before_the_end() -> None:
    core = core_with()
    [first] = begun(core, ALICE)
    assert first == AskChunk(ALICE, FIRST, WHOLE, None)
    assert isinstance(first, AskChunk)
    assert core.handle(
        Stored(AskChunk(ALICE, FIRST, WHOLE, None), Mark(WHOLE, FIRST, PART), False), 101.0
    ) == [Finish(FIRST)]
    assert core.progress == 1.0
    assert core.handle(Peers((ALICE,)), 102.0) == []


def test_a_state_that_no_committee_has_proved_is_not_fetched() -> None:
    core = core_with()
    core.handle(Peers((ALICE,)), 100.0)
    [ask] = core.handle(Offered(AskOffer(ALICE), offer(FIRST)), 100.0)
    assert ask == AskEpochs(ALICE, EpochIndex(1))
    assert core.handle(Failed(ask, lied=True), 100.0) == []
    assert core.target is None


def test_a_range_that_was_too_large_tells_how_to_split_the_others() -> None:
    core = core_with()
    [ask] = begun(core, ALICE, BOB)
    assert isinstance(ask, AskChunk)
    part = WHOLE.first_part(5)
    asks = core.handle(Stored(ask, Mark(part, FIRST, PART), False), 101.0)
    ranges = [each.range_ for each in only(asks, AskChunk) if isinstance(each, AskChunk)]
    assert ranges == [StateRange.around(bytes([index << 3]) + bytes(31), 5) for index in range(1, 5)]
    assert [each.peer for each in only(asks, AskChunk)].count(ALICE) == OPEN_PER_PEER_MAX


def test_a_hint_that_is_too_deep_makes_no_flood_of_questions() -> None:
    core = core_with()
    [ask] = begun(core, ALICE)
    assert isinstance(ask, AskChunk)
    asks = core.handle(Stored(ask, Mark(WHOLE.first_part(256), FIRST, PART), False), 101.0)
    assert all(isinstance(each, AskChunk) for each in asks)
    assert len(core._pending) < 300
    core._pending = [WHOLE.beside_first_part(1)[0]]
    assert core._pop().depth == SPLIT_DEPTH_MAX


def test_a_peer_whose_answers_leave_more_than_they_settle_is_asked_less() -> None:
    core = core_with()
    [ask] = begun(core, ALICE, BOB)
    assert isinstance(ask, AskChunk)
    slim = Stored(ask, Mark(WHOLE.first_part(3), FIRST, PART), is_slim=True)
    asks = only(core.handle(slim, 101.0), AskChunk)
    assert [each.peer for each in asks] == [BOB] * OPEN_PER_PEER_MAX
    assert {each.peer for each in only(core.handle(Peers((ALICE, BOB)), 103.0), AskChunk)} == {ALICE}


def test_a_slim_answer_is_welcome_only_where_nobody_may_give_a_better_one() -> None:
    core = core_with()
    [ask] = begun(core, ALICE, BOB)
    assert isinstance(ask, AskChunk)
    assert not core.is_welcome(ask)
    [again] = core.handle(Failed(ask, lied=False), 101.0)
    assert again == AskChunk(BOB, FIRST, WHOLE, None)
    assert isinstance(again, AskChunk)
    assert core.is_welcome(again)


def test_whoever_gives_slices_of_a_single_path_keeps_nobody_from_joining() -> None:
    """The honest peer answers at fifty milliseconds, the other one at once and with as little as can be."""
    core, now, count, asked = core_with(), 100.0, 0, 0
    events: list[tuple[float, int, Observed]] = [(now, 0, Peers((ALICE, BOB)))]
    while True:
        now, _, observed = events.pop(events.index(min(events, key=lambda event: event[:2])))
        if isinstance(observed, Peers):
            count += 1
            events.append((now + 1.0, count, observed))
        for action in core.handle(observed, now):
            count += 1
            if isinstance(action, Finish):
                assert action == Finish(FIRST)
                assert asked < 600
                return
            answer: Observed
            delay_s = 0.05
            if isinstance(action, AskOffer):
                answer = Offered(action, offer(FIRST))
            elif isinstance(action, AskEpochs):
                answer = Proved(action, EpochIndex(2), (FIRST,))
            elif action.peer == ALICE:
                asked, delay_s = asked + 1, 0.0
                slice_ = Mark(action.range_.first_part(256), FIRST, PART)
                answer = Stored(action, slice_, is_slim=True)
                if not core.is_welcome(action):
                    answer = Failed(action, lied=False)
            else:
                asked += 1
                part = action.range_.first_part(max(9, action.range_.depth))
                answer = Stored(action, Mark(part, FIRST, PART), is_slim=False)
            events.append((now + delay_s, count, answer))
            assert asked < 2_000


def test_whoever_offers_a_state_and_gives_nothing_of_it_does_not_keep_the_others_from_a_newer_one() -> None:
    """One comes back under a new name whenever it has failed, so that it is always in good standing."""
    core = core_with()
    [ask] = begun(core, ALICE)
    assert isinstance(ask, AskChunk)
    now = 101.0
    for life in range(20):
        mute = PeerId(f"mute{life}")
        actions = core.handle(Peers((ask.peer, BOB)), now)
        actions += core.handle(Failed(ask, lied=False), now)
        actions += core.handle(Peers((mute, BOB)), now)
        for each in only(actions, AskOffer):
            assert isinstance(each, AskOffer)
            heights = (2 * FIRST,) if each.peer == BOB else (FIRST,)
            actions += core.handle(Offered(each, offer(*heights, epoch=3)), now)
        for proofs in only(actions, AskEpochs):
            assert isinstance(proofs, AskEpochs)
            actions += core.handle(Proved(proofs, EpochIndex(3), (BlockNumber(2 * FIRST),)), now)
        if core.target == 2 * FIRST:
            return
        found = [each for each in only(actions, AskChunk) if each.peer == mute]
        ask = found[0] if found and isinstance(found[0], AskChunk) else ask
        now += 29.0
    pytest.fail("it never turned to the newer state")


def test_what_was_fetched_is_not_given_up_because_a_peer_says_that_the_chain_is_young() -> None:
    core = core_with(Mark(WHOLE.first_part(1), FIRST, PART), ends=1)
    core.handle(Peers((ALICE,)), 100.0)
    core.handle(Offered(AskOffer(ALICE), offer(finalized=0, epoch=1)), 100.0)
    assert core.handle(Peers((ALICE,)), 101.0 + PATIENCE_S) == []


def test_a_peer_that_lied_is_asked_no_more_and_its_range_goes_to_another() -> None:
    core = core_with()
    [ask] = begun(core, ALICE, BOB)
    assert isinstance(ask, AskChunk)
    assert ask.peer == ALICE
    [again] = core.handle(Failed(ask, lied=True), 101.0)
    assert again == AskChunk(BOB, FIRST, WHOLE, None)
    assert not only(core.handle(Peers((ALICE, BOB)), 300.0), AskChunk)


def test_what_is_stored_of_this_state_is_not_asked_for_and_of_another_only_whether_it_is_right() -> None:
    [low], [high] = [WHOLE.first_part(1)], WHOLE.beside_first_part(1)
    core = core_with(Mark(low, FIRST, PART), Mark(high, BlockNumber(1), PART), ends=1)
    core.handle(Peers((ALICE,)), 100.0)
    asks = core.handle(Offered(AskOffer(ALICE), offer(FIRST)), 100.0)
    assert asks == [AskChunk(ALICE, FIRST, high, PART)]
    assert core.progress == 0.5
    assert isinstance(asks[0], AskChunk)
    assert core.handle(Stored(asks[0], Mark(high, FIRST, PART), False), 100.0) == [Finish(FIRST)]


def test_a_state_that_was_begun_is_preferred_to_a_newer_one() -> None:
    core = core_with(Mark(WHOLE.first_part(1), FIRST, PART), ends=2)
    core.handle(Peers((ALICE,)), 100.0)
    core.handle(Offered(AskOffer(ALICE), offer(FIRST, 2 * FIRST, epoch=3)), 100.0)
    assert core.target == FIRST


def test_a_state_that_nobody_gives_any_more_is_given_up_for_a_newer_one() -> None:
    core = core_with()
    [ask] = begun(core, ALICE)
    assert isinstance(ask, AskChunk)
    now = 101.0
    core.handle(NotHeld(ask), now)
    epochs: list[Ask] = []
    while not epochs and now < 200.0:
        now += 1.0
        actions = core.handle(Peers((ALICE,)), now)
        for asked in only(actions, AskOffer):
            assert isinstance(asked, AskOffer)
            actions += core.handle(Offered(asked, offer(2 * FIRST, epoch=3)), now)
        epochs = only(actions, AskEpochs)
    assert ABANDON_S < now - 100.0 < 2 * ABANDON_S
    assert epochs == [AskEpochs(ALICE, EpochIndex(2))]
    proved = Proved(AskEpochs(ALICE, EpochIndex(2)), EpochIndex(3), (BlockNumber(2 * FIRST),))
    [chunk] = only(core.handle(proved, now), AskChunk)
    assert isinstance(chunk, AskChunk)
    assert chunk.height == 2 * FIRST


def test_a_chain_that_is_too_young_has_nothing_to_fetch() -> None:
    core = core_with()
    core.handle(Peers((ALICE, BOB)), 100.0)
    young = offer(finalized=FIRST - 1, epoch=1)
    core.handle(Offered(AskOffer(ALICE), young), 100.0)
    assert core.handle(Peers((ALICE, BOB)), 100.0 + PATIENCE_S) == []
    assert core.handle(Offered(AskOffer(BOB), young), 100.0 + PATIENCE_S) == [Finish(None)]


@pytest.mark.parametrize(
    "other",
    [offer(FIRST, epoch=2), offer(finalized=5000, epoch=1)],
    ids=["one has it", "nobody should lack it"],
)
def test_it_waits_as_long_as_there_may_be_a_state(other: Offer) -> None:
    core = core_with()
    core.handle(Peers((ALICE,)), 100.0)
    core.handle(Offered(AskOffer(ALICE), other), 100.0)
    assert Finish(None) not in core.handle(Peers((ALICE,)), 160.0)


@dataclass
class World:
    """Peers of several kinds, and the truth: a state that is split unevenly."""

    chance: random.Random
    now: float = 1000.0
    newest: int = 3
    open: list[Ask] = field(default_factory=list)
    due: dict[int, float] = field(default_factory=dict)
    stored: dict[StateRange, BlockNumber] = field(default_factory=dict)

    def offer(self) -> Offer:
        heights = tuple(BlockNumber(FIRST * each) for each in range(max(1, self.newest - 2), self.newest + 1))
        return Offer(BlockNumber(FIRST * self.newest + 5), EpochIndex(self.newest + 1), heights)

    def answer(self, ask: Ask, core: JoinCore) -> Observed:
        if str(ask.peer).startswith("slim") and isinstance(ask, AskChunk) and not core.is_welcome(ask):
            return Failed(ask, lied=False)
        return self.give(ask)

    def give(self, ask: Ask) -> Observed:
        kind = str(ask.peer)[:4]
        if kind == "lazy" and self.chance.random() < 0.7:
            return Failed(ask, lied=False)
        if isinstance(ask, AskOffer):
            if kind == "liar":
                far = BlockNumber(2**60)
                return Offered(ask, Offer(far, EpochIndex(2**60), (*self.offer().heights, far)))
            return Offered(ask, self.offer())
        if kind == "liar":
            return Failed(ask, lied=self.chance.random() < 0.5)
        if isinstance(ask, AskEpochs):
            last = min(self.newest, ask.first + 1)
            ends = tuple(BlockNumber(FIRST * epoch) for epoch in range(ask.first, last + 1))
            return Proved(ask, EpochIndex(max(ask.first, last + 1)), ends)
        if ask.height not in self.offer().heights or kind == "bare":
            return NotHeld(ask)
        depth = max(ask.range_.depth, 4 if ask.range_.start[0] else 7)
        if kind == "slim":
            depth = max(depth, min(256, ask.range_.depth + self.chance.choice((3, 244))))
        found = ask.range_.first_part(depth) if ask.known is None else ask.range_
        for inside in [each for each in self.stored if ask.range_.contains(each.start)]:
            if inside.depth >= ask.range_.depth:
                del self.stored[inside]
        self.stored[found] = ask.height
        is_slim = kind == "slim" and found != ask.range_
        return Stored(ask, Mark(found, ask.height, PART), is_slim)


@pytest.mark.parametrize("seed", range(20))
def test_one_honest_peer_is_always_enough(seed: int) -> None:
    chance = random.Random(seed)
    world = World(chance)
    kinds = [kind for kind in ("liar", "lazy", "bare", "slim", "liar", "slow") if chance.random() < 0.7]
    names = [PeerId(f"{kind}{index}") for index, kind in enumerate([*kinds, "good"])]
    core = core_with()
    events: list[tuple[float, int, Observed | None]] = []
    finished = None
    for step in range(20_000):
        if not events or chance.random() < 0.1:
            connected = tuple(peer for peer in names if str(peer).startswith("good") or chance.random() < 0.8)
            observed: Observed = Peers(connected)
            world.now += 0.25
        else:
            events.sort(key=lambda event: event[:2])
            at, _, given = events.pop(0)
            world.now = max(world.now, at)
            assert given is not None
            observed = given
        if world.newest < 6 and chance.random() < 0.002:
            world.newest += 1
        for action in core.handle(observed, world.now):
            if isinstance(action, Finish):
                finished = action
                break
            delay = 30.0 if str(action.peer).startswith("slow") else chance.random()
            events.append((world.now + delay, step, world.answer(action, core)))
        assert len(core._open) <= OPEN_MAX
        if finished is not None:
            break
    assert finished is not None
    assert finished.height is not None
    assert all(height == finished.height for height in world.stored.values())
    assert sum(range_.size for range_ in world.stored) == WHOLE.size
