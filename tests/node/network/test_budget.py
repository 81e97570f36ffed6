from node.network.budget import NETWORKS_MAX, Budget


def test_a_budget_is_spent_and_comes_back_with_the_next_window() -> None:
    budget = Budget(2, 10.0)
    for now in (0, 9):
        assert budget.allows("a", now)
        budget.spend("a", now)
    assert not budget.allows("a", 9.9)
    assert budget.allows("b", 9.9)
    assert budget.allows("a", 10)
    budget.spend("a", 10)
    budget.spend("a", 19)
    assert not budget.allows("a", 19.9)


def test_the_networks_that_are_remembered_are_bounded() -> None:
    budget = Budget(1, 10.0)
    for number in range(NETWORKS_MAX + 1):
        budget.spend(str(number), 0)
    assert budget.allows("0", 0)
    assert not budget.allows("1", 0)
