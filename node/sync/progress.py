"""How catching up goes: how far, how fast, how long still. Pure: time is an argument, in seconds."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from primitives.types import BlockNumber

WINDOW_S: Final = 15.0
"""What speed is measured over: long enough for imports that take seconds."""

SAMPLE_S: Final = 0.25
"""Closest samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a progress bar needs."""

    is_syncing: bool
    """Whether the node is too far behind to follow the chain block by block."""

    starting: BlockNumber
    """Where the node stood when it last began to catch up."""

    current: BlockNumber
    highest: BlockNumber
    """The highest block that a peer in good standing says it has, or our own."""

    blocks_per_s: float

    @property
    def left_s(self) -> float | None:
        """Seconds until the node has caught up, at this speed; None if it stands still."""
        left = self.highest - self.current
        if not left:
            return 0.0
        return left / self.blocks_per_s if self.blocks_per_s > 0 else None

    def __str__(self) -> str:
        """One line for a log."""
        left_s = self.left_s
        when = "no end in sight" if left_s is None else f"{left_s:.0f} s left"
        return f"block {self.current} of {self.highest}, {self.blocks_per_s:.0f} blocks/s, {when}"


class Meter:
    """Watches the height and makes figures of it."""

    def __init__(self, height: BlockNumber) -> None:
        """Nothing seen yet but the height."""
        self._starting = self._current = self._highest = height
        self._is_syncing = False
        self._samples: deque[tuple[float, BlockNumber]] = deque()

    def note(self, height: BlockNumber, target: BlockNumber, now: float, *, is_syncing: bool) -> None:
        """The chain is at `height`, and its peers at `target`."""
        if is_syncing and not self._is_syncing:
            self._starting = height
            self._samples = deque([(now, height)])
        self._is_syncing, self._current, self._highest = is_syncing, height, target
        if self._samples and now >= self._samples[-1][0] + SAMPLE_S:
            self._samples.append((now, height))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_S:
            self._samples.popleft()

    def progress(self, now: float) -> Progress:
        """As of now."""
        speed = 0.0
        if self._is_syncing and now > self._samples[0][0]:
            since, height = self._samples[0]
            speed = (self._current - height) / (now - since)
        return Progress(
            is_syncing=self._is_syncing,
            starting=self._starting,
            current=self._current,
            highest=self._highest,
            blocks_per_s=speed,
        )
