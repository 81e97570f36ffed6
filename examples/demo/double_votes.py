"""Counting equivocations in everything that was said."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

from primitives.vote import Vote, conflict


def count_double_votes(votes: Iterable[Vote]) -> int:
    """Pairs of votes that convict their signer, each distinct vote taken once."""
    spoken: defaultdict[tuple[int, int, int], set[Vote]] = defaultdict(set)
    for vote in votes:
        spoken[vote.epoch, vote.view, vote.signer].add(vote)
    return sum(conflict(first, second) for said in spoken.values() for first, second in combinations(said, 2))
