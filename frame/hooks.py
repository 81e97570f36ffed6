"""The ways back: what one pallet tells others, bound once in `runtime/runtime.py`."""

from typing import Protocol

from frame.validators import Validator
from primitives.types import EpochIndex


class OnNewEpoch(Protocol):
    """Told in the last block of an epoch, after its calls."""

    def on_new_epoch(self, epoch: EpochIndex, validators: tuple[Validator, ...]) -> None:
        """`validators` act in `epoch`, which begins with the next block."""
        ...
