"""On-chain code and protocol cores hold nothing that could differ between two machines."""

from pathlib import Path

import pytest

from tests.tidy.nondeterminism import NUMBERS, offences
from tests.tidy.sources import agreed_files, replayed_files, shown


def found_in(files: list[Path], allowed: tuple[str, ...] = ()) -> list[tuple[str, int, str]]:
    """File, line and reason of every offence that is not allowed."""
    return [
        (shown(path), line, reason)
        for path in files
        for line, reason in offences(path.read_text())
        if reason not in allowed
    ]


def test_what_machines_must_agree_on_is_free_of_offences() -> None:
    assert found_in(agreed_files()) == []


def test_cores_replay() -> None:
    assert found_in(replayed_files(), allowed=NUMBERS) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("fee = 1.5", "float literal"),
        ("fee = 1j", "float literal"),
        ("fee = total / 2", "true division"),
        ("fee /= 2", "true division"),
        ("fee = float(total)", "float"),
        ("def fee(total: float): ...", "float"),
        ("key = hash(account)", "hash"),
        ("key = id(account)", "id"),
        ("accounts.sort(key=hash)", "hash"),
        ("import random", "random source"),
        ("from numpy import random", "random source"),
        ("from os import urandom", "random source"),
        ("salt = os.urandom(32)", "random source"),
        ("for who in {1, 2}: ...", "order of a set"),
        ("for who in set(accounts): ...", "order of a set"),
        ("held = set()\nfor who in held: ...", "order of a set"),
        ("held = set()\nfirst = held.pop()", "order of a set"),
        ("def f(held: frozenset[int]):\n    return list(held)", "order of a set"),
        ("def f(held: set[int]):\n    return [who for who in held | other]", "order of a set"),
        ("class A:\n    held: set[int]\n    def f(self):\n        return tuple(self.held)", "order of a set"),
        ("names = ','.join({'a', 'b'})", "order of a set"),
        ("both = [*(left.keys() & right)]", "order of a set"),
        ("for who in left.union(right): ...", "order of a set"),
        ("first = next(iter({1, 2}))", "order of a set"),
    ],
)
def test_offence_is_found(source: str, reason: str) -> None:
    assert {found for _, found in offences(source)} == {reason}


@pytest.mark.parametrize(
    "source",
    [
        "fee = total * 3 // 2",
        "def f(id: int) -> int:\n    return id",
        "for who in sorted({1, 2}): ...",
        "held = set()\nknown = who in held",
        "held = set()\ntotal = sum(amount for amount in held)",
        "held = set()\nothers = {who + 1 for who in held}",
        "for who in accounts.keys(): ...",
        "last = queue.pop()",
        "low = flags & 1\nfor bit in bits(low): ...",
    ],
)
def test_harmless_code_passes(source: str) -> None:
    assert offences(source) == []
