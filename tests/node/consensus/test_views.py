from node.consensus.views import Views
from primitives.types import BlockHash, View
from tests.node.consensus.engine import FINALIZE, NOTARIZE, NULLIFY, quorum

ANCHOR = BlockHash(b"a" * 32)
FIRST = BlockHash(b"1" * 32)
SECOND = BlockHash(b"2" * 32)


def views_with(*endings: tuple[int, BlockHash | None]) -> Views:
    """Views that ended with a block, or without."""
    views = Views(ANCHOR)
    for view, block in endings:
        kind = NULLIFY if block is None else NOTARIZE
        views.add(quorum(kind, view, block or b"", without=0))
    return views


def test_anchor_is_the_parent_of_the_first_block() -> None:
    assert Views(ANCHOR).parent(View(1)) == (0, ANCHOR)


def test_parent_is_the_highest_notarized_view_below_nullified_ones() -> None:
    views = views_with((1, FIRST), (2, None), (3, None))
    assert views.parent(View(4)) == (1, FIRST)
    assert views.is_justified(View(4), FIRST)
    assert not views.is_justified(View(4), ANCHOR)


def test_gap_leaves_a_view_without_parent_and_names_what_is_missing() -> None:
    views = views_with((1, FIRST), (3, None))
    assert views.parent(View(4)) is None
    assert views.gap(View(4)) == 2


def test_view_that_ended_both_ways_justifies_both_parents() -> None:
    views = views_with((1, FIRST), (2, SECOND), (2, None))
    assert views.parent(View(3)) == (2, SECOND)
    assert views.is_justified(View(3), FIRST)


def test_finality_prunes_and_becomes_the_lowest_parent() -> None:
    views = views_with((1, FIRST), (2, None))
    final = quorum(FINALIZE, 2, SECOND, without=0)
    views.add(final)
    assert views.parent(View(3)) == (2, SECOND)
    assert views.proof(View(3)) == [final, final]
    assert not views.wants(NULLIFY, View(2))
    assert views.wants(NULLIFY, View(3))
    assert views.newest == 2


def test_answer_first_brings_the_asker_to_the_own_view() -> None:
    views = views_with((1, FIRST), (2, None), (3, None), (4, None))
    answer = list(views.answer(View(5), View(2)))
    assert [(held.kind, held.view) for held in answer] == [
        (NOTARIZE, 1),
        (NULLIFY, 4),
        (NULLIFY, 2),
        (NOTARIZE, 1),
    ]


def test_question_from_beyond_everything_ends() -> None:
    assert list(Views(ANCHOR).answer(View(1), View(2**62))) == []
