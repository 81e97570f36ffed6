"""One case of one target, judged; and what is done about a case that fails."""

import time
import tracemalloc
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.targets import Target

CASES: Final = Path(__file__).parent / "cases"
"""Bytes that once did harm, one file each: `TARGET-HASH.hex`."""

BASE_BYTES: Final = 256 * 1024
"""Memory that a reader may take whatever it reads."""

CASE_S: Final = 2.0
"""Most processor time for one case; a message that takes a thousandth of a second is a slow one."""

SHRINK_TRIES: Final = 2_000


class Harm(Exception):
    """The target did what no bytes may make it do."""


@dataclass
class Tally:
    """How it went."""

    cases: int = 0
    accepted: int = 0


def judge(target: Target, data: bytes) -> bool:
    """Whether the target accepts `data`. Raises Harm unless it does so, or refuses, as it promises."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    began = time.process_time()
    try:
        again = target.read(data)
        accepted = True
    except target.refuses:
        again, accepted = None, False
    except Exception as error:
        raise Harm(f"raised {error!r}"[:400]) from error
    took_s = time.process_time() - began
    taken = tracemalloc.get_traced_memory()[1] - before
    if again is not None and again != data:
        raise Harm("accepted a second spelling")
    if taken > BASE_BYTES + target.bytes_per_byte * len(data):
        raise Harm(f"took {taken} bytes of memory for {len(data)}")
    if took_s > CASE_S:
        raise Harm(f"took {took_s:.1f} s")
    return accepted


def harm_of(target: Target, data: bytes) -> Harm | None:
    """What `data` does to the target that it may not."""
    try:
        judge(target, data)
    except Harm as harm:
        return harm
    return None


def shrink(target: Target, data: bytes) -> bytes:
    """Fewer bytes that still do harm."""
    size, tries = max(1, len(data) // 2), 0
    while size and tries < SHRINK_TRIES:
        at = 0
        while at < len(data) and tries < SHRINK_TRIES:
            tries += 1
            shorter = data[:at] + data[at + size :]
            if harm_of(target, shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def keep(target: Target, data: bytes) -> Path:
    """Write a case down, to be tried again for ever."""
    path = CASES / f"{target.file_name}-{blake2b(data, digest_size=4).hexdigest()}.hex"
    path.write_text(data.hex() + "\n", encoding="ascii")
    return path


def fuzz(target: Target, random: Random, until: float) -> Tally:
    """Case after case until the monotonic clock shows `until`. Raises Harm with the case that did it."""
    tally = Tally()
    while time.monotonic() < until or not tally.cases:
        data = target.make(random)
        try:
            tally.accepted += judge(target, data)
        except Harm as harm:
            data = shrink(target, data)
            raise Harm(f"{target.name}: {harm}\n{data.hex()[:2000]}\nkept in {keep(target, data)}") from harm
        tally.cases += 1
    return tally
