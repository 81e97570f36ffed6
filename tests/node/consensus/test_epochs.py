from functools import partial

from node.consensus.core import Core
from node.consensus.epochs import ANSWERS_PER_PERIOD, BUFFERED_PER_PEER, Epochs
from node.consensus.interface import (
    Action,
    ForeignVote,
    Fork,
    Input,
    Memory,
    Persist,
    Position,
    Received,
    Report,
    Send,
    Serve,
    ServeFinal,
    TimedOut,
    Verdict,
    Verified,
)
from node.consensus.messages import MESSAGE_BYTES_MAX, Ask, AskBlock, Bundle, Cast, Message
from node.consensus.stop import stop_of
from primitives.certificate import certificate_of
from primitives.types import AuthorityIndex, BlockHash, BlockNumber, EpochIndex, PublicKey, TimestampMs, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, vote_message
from tests.node.consensus.engine import (
    CHAIN,
    EPOCH,
    FINALIZE,
    KEYS,
    NULLIFY,
    PEER,
    VERIFY,
    block_on,
    chain_to_the_end,
    name_of,
    not_leader,
    quorum,
    vote,
    without_record,
)

ME = not_leader()
NOW = TimestampMs(20_000)
BLOCKS = chain_to_the_end()
FINAL = quorum(FINALIZE, 3, name_of(BLOCKS[-1]), without=ME)
NEXT = CHAIN.epoch(EpochIndex(2), BLOCKS[-1].header)


def start_core(
    position: Position, silent: frozenset[PublicKey], is_listening: bool, kind: type[Core] = Core
) -> Core:
    return kind(position, Memory(), key=KEYS[ME], verifier=VERIFY, silent=silent, is_listening=is_listening)


def started(kind: type[Core] = Core) -> Epochs:
    epochs = Epochs(partial(start_core, kind=kind))
    epochs.begin(Position(epoch=EPOCH, tip=CHAIN.genesis), NOW)
    return epochs


def hear(epochs: Epochs, message: Message, now: int = NOW) -> list[Action]:
    return without_record(epochs.handle(Received(TimestampMs(now), PEER, message)))


def ended(kind: type[Core] = Core) -> Epochs:
    """Epochs whose first engine has just committed its last block."""
    epochs = started(kind)
    hear(epochs, Bundle(EPOCH.index, (FINAL,)))
    hear(epochs, Bundle(EPOCH.index, (), tuple(reversed(BLOCKS))))
    for block in BLOCKS:
        epochs.handle(Verified(NOW, EPOCH.index, name_of(block), Verdict.VALID))
    assert epochs.core.ended
    return epochs


def next_vote(view: int, signer: int) -> Vote:
    message = vote_message(NEXT.anchor_hash, NULLIFY, NEXT.index, View(view), NO_BLOCK)
    return Vote(
        VoteKind.NULLIFY, NEXT.index, View(view), NO_BLOCK, AuthorityIndex(signer), KEYS[signer].sign(message)
    )


def test_messages_of_the_next_epoch_wait_for_it() -> None:
    epochs = ended()
    others = [signer for signer in range(len(KEYS)) if signer != ME]
    for signer in others:
        hear(epochs, Cast(next_vote(1, signer)))
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    assert epochs.core.epoch.index == 2
    assert epochs.core.view == 2


def test_only_so_many_messages_of_one_peer_wait() -> None:
    epochs = ended()
    other = next(signer for signer in range(len(KEYS)) if signer != ME)
    votes = [next_vote(1 + view % 8, other) for view in range(BUFFERED_PER_PEER)]
    for cast in votes:
        hear(epochs, Cast(cast))
    hear(epochs, Bundle(NEXT.index, (certificate_of([next_vote(1, signer) for signer in (0, 1, 2, 3)]),)))
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    assert epochs.core.view == 1


def test_what_waits_of_one_peer_fits_one_message() -> None:
    heard: list[Message] = []

    class Listener(Core):
        def handle(self, observed: Input) -> list[Action]:
            if isinstance(observed, Received) and observed.message.epoch == NEXT.index:
                heard.append(observed.message)
            return super().handle(observed)

    epochs = ended(Listener)
    block = block_on(CHAIN.genesis, 1, salt=bytes(MESSAGE_BYTES_MAX // 10))
    large, small = Bundle(NEXT.index, (), (block,) * 6), Cast(next_vote(1, 0))
    for message in (large, large, small):
        hear(epochs, message)
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    assert heard == [large, small]


def test_peer_ahead_is_asked_for_the_end_of_this_epoch_once() -> None:
    epochs = started()
    ahead = Ask(EpochIndex(5), View(0))
    assert hear(epochs, ahead) == [Send(PEER, Ask(EPOCH.index, View(0)))]
    assert hear(epochs, ahead) == []


def test_laggard_gets_the_end_of_its_epoch_once_in_a_period() -> None:
    epochs = ended()
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    question = Ask(EPOCH.index, View(0))
    assert hear(epochs, question) == [ServeFinal(PEER, EPOCH.index)]
    assert hear(epochs, question) == []
    assert hear(epochs, question, NOW + EPOCH.settings.period_ms) == [ServeFinal(PEER, EPOCH.index)]


def test_blocks_of_any_epoch_are_served_within_an_allowance() -> None:
    epochs = started()
    ask = AskBlock(EpochIndex(7), BlockHash(bytes(32)), BlockNumber(0))
    answers = [hear(epochs, ask) for _ in range(ANSWERS_PER_PERIOD + 1)]
    assert answers == [[Serve(PEER, ask)]] * ANSWERS_PER_PERIOD + [[]]


def test_alarms_of_the_old_engine_are_dropped() -> None:
    epochs = ended()
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    assert epochs.handle(TimedOut(NOW, EPOCH.index, View(1))) == []
    assert epochs.handle(Verified(NOW, EPOCH.index, name_of(BLOCKS[0]), Verdict.INVALID)) == []
    assert epochs.handle(TimedOut(NOW, NEXT.index, View(1))) != []


def test_fork_of_the_last_epoch_is_still_seen_and_stops_voting() -> None:
    epochs = ended()
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    other = quorum(FINALIZE, 4, name_of(block_on(BLOCKS[1].header, 4)), without=ME)
    actions = hear(epochs, Bundle(EPOCH.index, (other,)))
    assert actions == [Persist(stop_of(Fork(FINAL, other))), Report(Fork(FINAL, other))]
    assert epochs.core.ballot.is_muted


def test_own_key_heard_elsewhere_in_the_last_epoch_stops_voting() -> None:
    epochs = ended()
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    foreign = vote(NULLIFY, 3, NO_BLOCK, ME)
    found = ForeignVote(foreign)
    assert hear(epochs, Cast(foreign)) == [Persist(stop_of(found)), Report(found)]
    assert epochs.core.ballot.is_muted


def rotated() -> Epochs:
    """Another key of the node votes in the second epoch."""
    keys = iter([KEYS[ME], KEYS[(ME + 1) % 4]])

    def start_with_next_key(position: Position, silent: frozenset[PublicKey], is_listening: bool) -> Core:
        return Core(position, Memory(), key=next(keys), verifier=VERIFY, is_listening=is_listening)

    epochs = Epochs(start_with_next_key)
    epochs.begin(Position(epoch=EPOCH, tip=CHAIN.genesis), NOW)
    hear(epochs, Bundle(EPOCH.index, (FINAL,)))
    hear(epochs, Bundle(EPOCH.index, (), tuple(reversed(BLOCKS))))
    for block in BLOCKS:
        epochs.handle(Verified(NOW, EPOCH.index, name_of(block), Verdict.VALID))
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    return epochs


def test_a_fork_of_the_last_epoch_stops_the_key_that_followed_too() -> None:
    epochs = rotated()
    other = quorum(FINALIZE, 4, name_of(block_on(BLOCKS[1].header, 4)), without=ME)
    hear(epochs, Bundle(EPOCH.index, (other,)))
    assert epochs.core.ballot.is_muted


def test_a_vote_of_the_last_key_heard_elsewhere_does_not_stop_the_one_that_followed() -> None:
    epochs = rotated()
    foreign = ForeignVote(vote(NULLIFY, 3, NO_BLOCK, ME))
    assert hear(epochs, Cast(foreign.vote)) == [Persist(stop_of(foreign)), Report(foreign)]
    assert not epochs.core.ballot.is_muted


def test_nobody_testifies_about_an_epoch_before_the_last() -> None:
    epochs = ended()
    after = CHAIN.epoch(EpochIndex(3), BLOCKS[-1].header)
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    epochs.begin(Position(epoch=after, tip=BLOCKS[-1].header), NOW)
    assert hear(epochs, Cast(vote(NULLIFY, 3, NO_BLOCK, ME))) == []
    assert not epochs.core.ballot.is_muted


def test_a_witness_verifies_no_certificate_that_convicts_nobody() -> None:
    epochs, verified = ended(), list[bytes]()

    def verifier(key: bytes, message: bytes, signature: bytes) -> bool:
        verified.append(key)
        return VERIFY(key, message, signature)

    epochs.core._verifier = verifier
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    genuine = quorum(NULLIFY, 4, without=ME)
    assert hear(epochs, Bundle(EPOCH.index, (genuine,) * 64)) == []
    assert verified == []


def test_listening_and_mutedness_are_carried_over() -> None:
    epochs = Epochs(start_core)
    epochs.begin(Position(epoch=EPOCH, tip=CHAIN.genesis), NOW, is_listening=True)
    epochs.core.ballot.is_muted = True
    epochs.begin(Position(epoch=NEXT, tip=BLOCKS[-1].header), NOW)
    assert epochs.core.ballot.is_listening
    assert epochs.core.ballot.is_muted
