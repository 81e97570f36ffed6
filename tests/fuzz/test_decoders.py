"""Every decoder on hostile bytes, for a while; and every case again that once did harm."""

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz as fuzzing
from tests.fuzz.fuzz import CASES, Harm, fuzz, judge, keep
from tests.fuzz.grow import SEED
from tests.fuzz.targets import Read, Target, journal_target, targets

SECONDS = 15.0
"""For all targets together; `make fuzz` takes longer."""

TARGETS = {target.name: target for target in targets()}
KEPT = sorted(CASES.glob("*.hex"))


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_no_decoder_does_more_than_to_refuse(tmp_path: Path) -> None:
    everyone = [*TARGETS.values(), journal_target(tmp_path)]
    for target in everyone:
        until = time.monotonic() + SECONDS / len(everyone)
        fuzz(target, Random(f"{SEED} {target.name}"), until)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x91" * 100_000)
def test_bytes_without_any_sense_are_refused(data: bytes) -> None:
    for target in TARGETS.values():
        judge(target, data)


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_what_did_harm_does_none_any_more(path: Path) -> None:
    name = path.stem.rpartition("-")[0]
    [target] = [each for each in TARGETS.values() if each.file_name == name]
    judge(target, bytes.fromhex(path.read_text(encoding="ascii")))


def fails(data: bytes) -> bytes:
    if b"\xff" in data:
        raise ZeroDivisionError
    return data


def hoards(data: bytes) -> bytes:
    return bytes(bytearray(1000 * len(data) + fuzzing.BASE_BYTES)) and data


def forgives(data: bytes) -> bytes:
    return data.rstrip(b"\x00")


def wastes(data: bytes) -> bytes:
    began = time.process_time()
    while time.process_time() < began + fuzzing.CASE_S:
        pass
    return data


@pytest.mark.parametrize(
    ("read", "data", "found"),
    [
        (fails, b"a\xff", "ZeroDivisionError"),
        (hoards, b"abc", "of memory"),
        (forgives, b"abc\x00", "second spelling"),
        (wastes, b"abc", " s$"),
    ],
)
def test_the_judge_notices(read: Read, data: bytes, found: str) -> None:
    with pytest.raises(Harm, match=found):
        judge(Target("planted", read, (), lambda _: data), data)


def test_a_case_that_does_harm_is_made_short_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzing, "CASES", tmp_path)
    planted = Target("planted one", fails, (), lambda random: random.randbytes(9) + b"\xff" + bytes(9))
    with pytest.raises(Harm, match="ff"):
        fuzz(planted, Random(1), time.monotonic() + 5)
    [kept] = tmp_path.iterdir()
    assert (kept.stem.rpartition("-")[0], kept.read_text()) == ("planted-one", "ff\n")
    assert keep(planted, b"\xff") == kept
