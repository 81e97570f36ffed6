"""Looking for equivocations in everything that was said."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations

from primitives.vote import Vote, conflict


def double_votes(votes: Iterable[Vote], is_signed: Callable[[Vote], bool]) -> list[tuple[Vote, Vote]]:
    """Pairs of votes that convict their signer, each distinct vote taken once.

    Nodes note votes as they come; `is_signed` tells those that nobody signed, which convict nobody.
    """
    spoken: defaultdict[tuple[int, int, int], set[Vote]] = defaultdict(set)
    for vote in votes:
        spoken[vote.epoch, vote.view, vote.signer].add(vote)
    return [
        (first, second)
        for said in spoken.values()
        for first, second in combinations(said, 2)
        if conflict(first, second) and is_signed(first) and is_signed(second)
    ]


def count_double_votes(votes: Iterable[Vote], is_signed: Callable[[Vote], bool]) -> int:
    """How many pairs of votes convict their signer."""
    return len(double_votes(votes, is_signed))
