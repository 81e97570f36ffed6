"""What a person reads while a node joins, in a pipe."""

from dataclasses import replace

import pytest

from cli.joining import LINE_S, Joining
from node.snapshot.join import Progress
from primitives.types import BlockNumber

NOTHING = Progress(
    height=None,
    share=0.0,
    entries=0,
    chunks=0,
    peers=0,
    able=0,
    finalized=BlockNumber(0),
    epochs=0,
    is_finishing=False,
)
FETCHING = replace(NOTHING, height=BlockNumber(640), peers=4, able=3)


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (NOTHING, "waiting for peers: none is connected"),
        (replace(NOTHING, peers=3), "asking 3 peers"),
        (replace(NOTHING, peers=3, finalized=BlockNumber(900)), "--sync full needs none"),
        (replace(NOTHING, peers=3, epochs=12), "proving committees: 12 epochs"),
        (replace(FETCHING, able=0), "no connected peer gives the state of block 640 now"),
        (FETCHING, "state of block 640: 0%, 0 chunks, from 3 of 4 peers"),
        (replace(FETCHING, is_finishing=True), "checking the whole state of block 640"),
    ],
)
def test_every_stage_says_what_it_does_or_waits_for(
    progress: Progress, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Joining().show(progress)
    assert said in capsys.readouterr().err


def test_a_pipe_gets_a_line_now_and_then_with_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    joining = Joining(lambda: now)
    joining.show(FETCHING)
    for _ in range(10):
        now += LINE_S / 10
        joining.show(replace(FETCHING, share=0.25, chunks=5, entries=5_000))
    joining.close()
    first, second = capsys.readouterr().err.splitlines()
    assert "rows/s" not in first
    assert second == "state of block 640: 25%, 5 chunks, 1,000 rows/s, 15 s left, from 3 of 4 peers"
