"""What askers may have read for them."""

from node.snapshot.budget import BUDGETS_MAX, Budget


def test_a_burst_is_free_and_then_the_rate_counts() -> None:
    budget = Budget(bytes_per_s=10, burst_bytes=100)
    budget.charge("one", 100, now=50.0)
    assert budget.wait_s("one", 50.0) == 0.0
    budget.charge("one", 30, now=50.0)
    assert budget.wait_s("one", 50.0) == 3.0
    assert budget.wait_s("one", 52.0) == 1.0
    assert budget.wait_s("one", 60.0) == 0.0
    assert budget.wait_s("other", 50.0) == 0.0


def test_time_without_questions_saves_up_no_more_than_a_burst() -> None:
    budget = Budget(bytes_per_s=10, burst_bytes=100)
    budget.charge("one", 10, now=0.0)
    budget.charge("one", 150, now=1000.0)
    assert budget.wait_s("one", 1000.0) == 5.0


def test_only_those_in_debt_are_remembered() -> None:
    budget = Budget(bytes_per_s=10, burst_bytes=100)
    for number in range(BUDGETS_MAX + 10):
        budget.charge(number, 10, now=float(number))
    assert len(budget._paid_until) <= BUDGETS_MAX
