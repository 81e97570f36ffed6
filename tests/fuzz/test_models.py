"""Hostile models: some new ones of a fixed seed, every one that once did harm, and judges who notice."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from inference.process import WorkerSettings
from inference.supervisor import Supervisor
from inference.tensor import Tensor
from inference.unable import Crashed, Unable
from tests.fuzz.models import fuzz as judging
from tests.fuzz.models.corpus import seeds
from tests.fuzz.models.fuzz import CASES, WORKER, Harm, Tally, grown, judge, keep
from tests.inference.build import two_layers

COUNT = 120
SHARE = 0.15
"""Least share that must be proved: what is refused never meets an engine."""

KEPT = sorted(CASES.glob("*.onnx"))


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(WORKER) as running:
        yield running


def test_hostile_models_are_refused_or_computed_alike(supervisor: Supervisor) -> None:
    known, tally = seeds(), Tally()
    for index in range(COUNT):
        random = Random(f"hostile {index}")
        data = grown(known, random)
        try:
            judge(data, supervisor, random, tally)
        except Harm as harm:
            pytest.fail(f"{harm}; kept in {keep(data)}")
    assert tally.cases == COUNT
    assert tally.proved >= SHARE * COUNT


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_a_model_that_did_harm_does_none_any_more(path: Path, supervisor: Supervisor) -> None:
    judge(path.read_bytes(), supervisor, Random(1), Tally())


class Planted(Supervisor):
    """Runs nothing, and has trouble."""

    def __init__(self, trouble: Exception) -> None:
        super().__init__()
        self._trouble = trouble

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int
    ) -> tuple[Tensor, ...]:
        raise self._trouble


@pytest.mark.parametrize("trouble", [Unable("numpy differs from int8 twin"), Crashed("SIGFPE")])
def test_the_judge_notices_what_a_proved_model_does(trouble: Exception) -> None:
    with pytest.raises(Harm, match=str(trouble)):
        judge(two_layers(), Planted(trouble), Random(1), Tally())


def test_engines_that_differ_are_noticed() -> None:
    """The same worker, one of whose engines is wrong."""
    wrong = WorkerSettings(module="tests.fuzz.models.comparing_worker", engine="wrong")
    with Supervisor(wrong) as running, pytest.raises(Harm, match=r"differs from onnxruntime, all$"):
        judge(two_layers(), running, Random(1), Tally())


def test_the_judge_notices_a_prover_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(data: bytes) -> None:
        raise ZeroDivisionError(data[:1])

    monkeypatch.setattr(judging, "prove", fails)
    with pytest.raises(Harm, match="ZeroDivisionError"):
        judge(two_layers(), Planted(Unable("")), Random(1), Tally())
