from node.consensus.tree import Tree
from primitives.block import Block
from primitives.types import BlockHash
from tests.node.consensus.engine import CHAIN, block_on, chain_to_the_end, name_of

BLOCKS = chain_to_the_end()


def tree_with(*blocks: Block) -> Tree:
    tree = Tree(CHAIN.genesis, ())
    for block in blocks:
        tree.add(name_of(block), block)
    return tree


def test_steps_lead_from_the_top_down_and_then_up() -> None:
    tree = tree_with(BLOCKS[2])
    assert tree.step_towards(name_of(BLOCKS[2])) == name_of(BLOCKS[1])
    tree.add(name_of(BLOCKS[1]), BLOCKS[1])
    tree.add(name_of(BLOCKS[0]), BLOCKS[0])
    for block in BLOCKS:
        assert tree.step_towards(name_of(BLOCKS[2])) == block
        tree.mark_executed(name_of(block))
    assert tree.is_executed(name_of(BLOCKS[2]))
    assert tree.path(name_of(BLOCKS[2])) == tuple(BLOCKS)


def test_nothing_helps_an_invalid_block_or_its_children() -> None:
    tree = tree_with(*BLOCKS)
    tree.bad.add(name_of(BLOCKS[0]))
    assert tree.step_towards(name_of(BLOCKS[2])) is None


def test_nothing_helps_a_branch_below_the_tip() -> None:
    tree = tree_with(BLOCKS[0])
    tree.commit((BLOCKS[0],))
    stray = block_on(block_on(CHAIN.genesis, 1, salt=b"other").header, 2)
    tree.add(name_of(stray), stray)
    assert tree.step_towards(name_of(stray)) is None


def test_commit_forgets_what_can_never_become_final() -> None:
    rival = block_on(CHAIN.genesis, 1, salt=b"rival")
    tree = tree_with(*BLOCKS, rival)
    tree.commit((BLOCKS[0],))
    assert tree.get(name_of(rival)) is None
    assert tree.get(name_of(BLOCKS[0])) is None
    assert tree.get(name_of(BLOCKS[1])) == BLOCKS[1]
    assert tree.header(name_of(BLOCKS[0])) == BLOCKS[0].header
    assert name_of(BLOCKS[0]) in tree.committed


def test_commit_forgets_what_stands_on_a_branch_that_it_leaves_behind() -> None:
    """Only with a third of the stake Byzantine is such a block final somewhere: a fork, and no crash."""
    rival = block_on(CHAIN.genesis, 1, salt=b"rival")
    child = block_on(rival.header, 2)
    grandchild = block_on(child.header, 3)
    tree = tree_with(BLOCKS[0], grandchild, child, rival)
    for block in (rival, child, grandchild):
        tree.mark_executed(name_of(block))
    tree.commit((BLOCKS[0],))
    assert tree.get(name_of(child)) is None
    assert not tree.is_executed(name_of(grandchild))
    tree.add(name_of(child), child)
    tree.add(name_of(rival), rival)
    assert tree.step_towards(name_of(child)) is None


def test_verdict_on_a_forgotten_block_is_ignored() -> None:
    tree = tree_with()
    tree.mark_executed(name_of(BLOCKS[0]))
    assert not tree.is_executed(name_of(BLOCKS[0]))


def test_budget_is_kept_at_the_cost_of_the_oldest() -> None:
    tree = tree_with()
    names: list[BlockHash] = []
    for number in range(700):
        block = block_on(CHAIN.genesis, 1, salt=number.to_bytes(2, "big") * 60_000)
        names.append(name_of(block))
        tree.add(names[-1], block)
    kept = [name for name in names if tree.get(name)]
    assert 1 < len(kept) < len(names)
    assert kept == names[-len(kept) :]


def test_budget_is_not_kept_at_the_cost_of_a_way_to_the_tip() -> None:
    tree = tree_with(*BLOCKS)
    for block in BLOCKS:
        tree.mark_executed(name_of(block))
    for number in range(700):
        stray = block_on(CHAIN.genesis, 1, salt=number.to_bytes(2, "big") * 60_000)
        tree.add(name_of(stray), stray)
    assert tree.path(name_of(BLOCKS[2])) == tuple(BLOCKS)
