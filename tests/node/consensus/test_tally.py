from node.consensus.tally import Tally
from primitives.certificate import certificate_of
from primitives.types import View
from tests.node.consensus.engine import EPOCH, FINALIZE, NOTARIZE, NULLIFY, vote

ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32


def test_quorum_of_equal_votes_makes_a_certificate() -> None:
    tally = Tally(EPOCH.committee)
    votes = [vote(NOTARIZE, 1, ONE, signer) for signer in range(3)]
    for cast in votes[:2]:
        tally.add(cast)
        assert tally.certificate(cast) is None
    tally.add(vote(NOTARIZE, 1, TWO, 3))
    tally.add(votes[2])
    assert tally.certificate(votes[2]) == certificate_of(votes)


def test_second_word_of_a_signer_convicts_and_replaces_nothing() -> None:
    tally = Tally(EPOCH.committee)
    first, second = vote(NOTARIZE, 1, ONE, 0), vote(NOTARIZE, 1, TWO, 0)
    assert tally.add(first) == []
    assert tally.add(second) == [first]
    assert tally.holds(first)
    assert tally.holds(second)


def test_third_block_of_a_signer_has_no_room() -> None:
    tally = Tally(EPOCH.committee)
    tally.add(vote(NOTARIZE, 1, ONE, 0))
    assert tally.has_room(vote(NOTARIZE, 1, TWO, 0))
    tally.add(vote(NOTARIZE, 1, TWO, 0))
    assert not tally.has_room(vote(NOTARIZE, 1, THREE, 0))
    assert tally.has_room(vote(FINALIZE, 1, THREE, 0))
    assert tally.has_room(vote(NOTARIZE, 1, THREE, 1))


def test_nullify_and_finalize_convict_and_nullify_and_notarize_do_not() -> None:
    tally = Tally(EPOCH.committee)
    nullify, finalize = vote(NULLIFY, 1, b"", 0), vote(FINALIZE, 1, ONE, 0)
    assert tally.add(vote(NOTARIZE, 1, ONE, 0)) == []
    assert tally.add(nullify) == []
    assert tally.add(finalize) == [nullify]


def test_pruned_views_are_forgotten() -> None:
    tally = Tally(EPOCH.committee)
    old, kept = vote(NULLIFY, 1, b"", 0), vote(NULLIFY, 2, b"", 0)
    tally.add(old)
    tally.add(kept)
    tally.prune(View(2))
    assert not tally.holds(old)
    assert tally.holds(kept)
